"""A system that says what it deleted: the order line, customer or product is no more, and nothing else changes."""

import json

import pytest
from intake import HEADER, RUN, SHOP, Shop, line

from homes import run_day

FLAG = ("max_refused: 0.5", "deleted: gone\nmax_refused: 0.9")
HEADER = HEADER.replace("status", "status,gone")


def told(order, gone="", **others):
    return line(order, **others).replace("\n", f",{gone}\n")


@pytest.fixture
def shop(homes, tmp_path):
    shop = Shop(tmp_path / "shop", homes.settings(tmp_path / "shop").warehouse)
    shop.source(SHOP, flag=FLAG)
    return shop


def fates(shop):
    return shop.rows("select order_id, _file, fate from staging.order_lines order by order_id, _file, _row")


@pytest.mark.slow
def test_a_deleted_line_is_no_more_until_it_comes_again(shop):
    shop.put("shop/a.csv", HEADER + told("1") + told("2") + told("3", gone="no"))
    shop.ingest()
    run_day(RUN, shop.settings)
    shop.put("shop/b.csv", HEADER + "1,1,,,,,,,TRUE\n" + "4,1,,,,,,,true\n")  # the key is enough
    shop.ingest()
    run_day(RUN, shop.settings)
    assert shop.rows("select order_id from core.orders order by 1") == [("2",), ("3",)]
    assert fates(shop)[:2] == [("1", "shop/a.csv", "superseded"), ("1", "shop/b.csv", "superseded")]
    health = "select landed, current, superseded, quarantined from marts.data_health where source = 'shop'"
    assert shop.rows(health) == [(5, 2, 3, 0)]

    shop.put("shop/c.csv", HEADER + told("1"))
    shop.ingest()
    run_day(RUN, shop.settings)
    assert shop.rows("select order_id from core.orders order by 1") == [("1",), ("2",), ("3",)]


def test_who_deletes_without_the_whole_key_has_to_tell_the_rest(shop):
    whole = told("1", number="")
    shop.put("shop/a.csv", HEADER + whole + told("2", number=""))
    shop.put("shop/b.csv", HEADER + whole.replace(",\n", ",yes\n") + "2,,,,,,,,yes\n" + ",1,,,,,,,yes\n")
    shop.ingest()
    refused = shop.rows("select row, reasons from quarantine.rows order by row")
    assert [(row, "order_id_present" in json.loads(reasons)) for row, reasons in refused] == [(2, False), (3, True)]
    run_day(RUN, shop.settings)
    assert shop.rows("select order_id from core.orders") == [("2",)]


def test_without_the_column_nothing_is_deleted(shop):
    shop.put("shop/a.csv", HEADER.replace(",gone", "") + line("1"))
    shop.ingest()
    assert shop.rows("select order_id, _deleted from raw.order_lines") == [("1", False)]
    (note,) = shop.rows("select detail from raw.checks where rule = 'missing_columns'")
    assert note[0].endswith(": deleted")


def test_an_expression_may_tell(shop):
    shop.source(SHOP, flag=("max_refused: 0.5", "deleted: {sql: \"status = 'void'\"}"))
    shop.put("shop/a.csv", HEADER + told("1") + told("2", status="void"))
    shop.ingest()
    assert shop.rows("select order_id, _deleted from raw.order_lines order by 1") == [("1", False), ("2", True)]
