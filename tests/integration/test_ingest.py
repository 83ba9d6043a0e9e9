"""From files in the inbox to raw tables of both engines: each file once, each row in one place, whatever happens."""

import json
import shutil
from datetime import UTC, date, datetime

import pytest
from intake import GOOD, HEADER, SHOP, Shop, line

from contents import tables
from perennial.flows import ingest
from perennial.foundation.errors import BadConfig, BadData


@pytest.fixture
def shop(homes, tmp_path):
    return Shop(tmp_path, homes.settings(tmp_path).warehouse)


def test_a_row_is_typed_stamped_and_dated(shop):
    shop.put("shop/a.csv", HEADER + line(day="2026-01-05 20:30", price='"9,90"', name=" Tee ", sku=""))
    assert shop.ingest()["shop"] == {
        "files": 1, "landed": 1, "accepted": 1, "quarantined": 0, "held": 0, "refused": 0, "duplicate": 0,
    }  # fmt: skip
    assert shop.rows(
        "select ordered_at, ordered_date, _day, product_name, sku, cast(unit_price as text), _source, _file, _version,"
        " _row, _batch_id, _ingested_at, _key from raw.order_lines"
    ) == [
        (
            datetime(2026, 1, 6, 1, 30, tzinfo=UTC),  # New York's evening is Berlin's next morning
            date(2026, 1, 6),
            date(2026, 1, 6),
            "Tee",
            None,
            "9.9000",
            "shop",
            "shop/a.csv",
            1,
            1,
            1,
            datetime(2026, 2, 1, 8, 30, tzinfo=UTC),
            "1|1",
        )
    ]


def test_nothing_new_loads_nothing_and_needs_no_quality_gate(shop, monkeypatch):
    shop.put("shop/a.csv", GOOD)
    shop.ingest()
    monkeypatch.setattr(ingest, "validate", None)
    assert shop.ingest()["shop"]["files"] == 0
    assert shop.rows("select count(*) from raw.order_lines") == [(1,)]


def test_a_refused_file_is_tried_again_when_its_source_is_corrected(shop):
    shop.put("shop/b.csv", GOOD.replace("price", "cost"))
    shop.ingest()
    assert shop.ingest()["shop"]["files"] == 0
    shop.source(SHOP, price=("replace(price", "replace(cost"))
    assert shop.ingest()["shop"]["accepted"] == 1
    assert shop.file("shop/b.csv")["status"] == "loaded"


def test_a_wrong_type_quarantines_the_row_with_every_reason(shop):
    bad = line("2", day="31.31.2026", qty="nan", price="-1", status="lost")
    shop.put("shop/a.csv", GOOD + bad + line("3"))
    shop.ingest()
    [(row, reasons, content)] = shop.rows("select row, reasons, content from quarantine.rows")
    assert row == 2
    assert json.loads(reasons) == ["readable: ordered_at, quantity", "status_known", "unit_price_not_negative"]
    assert json.loads(content)["date"] == "31.31.2026"
    assert shop.rows("select order_id, _row from raw.order_lines order by _row") == [("1", 1), ("3", 3)]


def test_a_day_without_rows_is_loaded(shop):
    shop.put("shop/a.csv", HEADER)
    shop.ingest()
    assert shop.file("shop/a.csv") == {"status": "loaded", "rows": 0, "accepted": 0, "quarantined": 0, "reason": None}


def test_a_duplicate_under_another_name_is_recorded_and_not_loaded(shop):
    shop.put("shop/a.csv", GOOD)
    shop.put("shop/b.csv", GOOD)
    assert shop.ingest()["shop"]["duplicate"] == 1
    assert shop.file("shop/b.csv")["reason"] == "The same content as shop/a.csv."
    assert shop.rows("select _file from raw.order_lines") == [("shop/a.csv",)]


def test_a_duplicate_is_loaded_when_its_original_changes(shop):
    """`latest.csv` copied to an archive name and overwritten the next day: yesterday must not vanish."""
    shop.put("shop/latest.csv", GOOD)
    shop.put("shop/old-latest.csv", GOOD)
    shop.ingest()
    shop.put("shop/latest.csv", HEADER + line("2") + line("3"))
    shop.ingest()
    assert shop.rows("select _file, _version, order_id from raw.order_lines order by order_id, _file") == [
        ("shop/latest.csv", 1, "1"),
        ("shop/old-latest.csv", 1, "1"),
        ("shop/latest.csv", 2, "2"),
        ("shop/latest.csv", 2, "3"),
    ]


def test_changed_content_comes_as_the_next_version(shop):
    shop.put("shop/a.csv", GOOD)
    shop.ingest()
    shop.put("shop/a.csv", HEADER + line(qty="22"))
    shop.ingest()
    assert shop.rows("select _version, _batch_id, _key from raw.order_lines order by 1") == [
        (1, 1, "1|1"),
        (2, 2, "1|1"),
    ]


def test_a_file_with_too_many_bad_rows_is_held_whole(shop):
    shop.put("shop/a.csv", GOOD + line("2", qty="x") + line("3", qty="x"))
    figures = shop.ingest()["shop"]
    assert (figures["landed"], figures["held"], figures["accepted"]) == (3, 3, 0)
    held = shop.file("shop/a.csv")
    assert (held["status"], held["rows"]) == ("held", 3)
    assert "2 of 3 rows break critical rules, allowed is 50%: readable: quantity (2)" in held["reason"]
    assert shop.rows(
        "select (select count(*) from raw.order_lines) as lines, (select count(*) from quarantine.rows) as bad"
    ) == [(0, 0)]


@pytest.mark.parametrize("contract", ["customers", "products"])
def test_a_file_is_held_beside_another_whatever_the_columns_are_called(shop, contract):
    """Both contracts have a `name`, as the files have."""
    columns = {"customers": "{customer_ref: id, birthday: value}", "products": "{sku: id, price: value}"}[contract]
    shop.source(f"source: some\ncontract: {contract}\npath: some/*\nformat: csv\ncolumns: {columns}\n")
    shop.put("some/good.csv", "id,value\n1,\n2,\n")
    shop.put("some/bad.csv", "id,value\n3,x\n4,x\n")
    figures = shop.ingest()["some"]
    assert (figures["accepted"], figures["held"]) == (2, 2)
    assert "readable: " in shop.file("some/bad.csv")["reason"]


def test_equal_lines_without_a_number_are_lines_in_a_file_and_duplicates_across_files(shop):
    twice = HEADER + line(number="") * 2
    shop.put("shop/a.csv", twice)
    shop.put("shop/b.csv", twice + line("2", number=""))
    shop.ingest()
    keys = {
        name: [key for _, key in group]
        for name in ("shop/a.csv", "shop/b.csv")
        for group in [shop.rows(f"select _row, _key from raw.order_lines where _file = '{name}' order by _row")]
    }
    assert len(set(keys["shop/a.csv"])) == 2
    assert keys["shop/b.csv"][:2] == keys["shop/a.csv"]


def test_equal_lines_are_duplicates_where_the_source_says_so(shop):
    shop.source(SHOP + "identical_rows: duplicates\n")
    again = (
        line(number="") * 2 + line("2", number="") + line("1", number="", name=" Tee ") + line("1", number="", qty="2")
    )
    shop.put("shop/a.csv", HEADER + again + line("3", number="7") * 2)
    assert shop.ingest()["shop"]["accepted"] == 7  # none is refused: what became of each is told by staging
    keys = [key for (key,) in shop.rows("select _key from raw.order_lines order by _row")]
    assert keys[0] == keys[1] == keys[3]
    assert len(set(keys)) == 4
    assert keys[5:] == ["3|7", "3|7"]  # a number says more than being alike


def test_a_wrong_source_file_stops_before_anything_is_loaded(shop):
    shop.put("shop/a.csv", GOOD)
    shop.ingest()
    shop.source(SHOP.replace("status: status", "state: status"))
    with pytest.raises(BadConfig, match=r"shop.yaml: field columns.state: contract order_lines has no column 'state'"):
        shop.ingest()


def test_a_critical_rule_about_the_table_refuses_the_batch_and_leaves_the_rest(shop):
    shop.put("shop/a.csv", GOOD)
    shop.ingest()
    contract = shop.include / "expectations" / "order_lines.yaml"
    rule = (
        "  - {rule: full, severity: critical, expect: expect_table_row_count_to_be_between, kwargs: {min_value: 9}}\n"
    )
    contract.write_text(contract.read_text() + rule)
    shop.put("shop/b.csv", HEADER + line("2"))
    assert shop.ingest()["shop"]["refused"] == 1
    assert "breaks the critical rule full (observed 1)" in shop.file("shop/b.csv")["reason"]
    assert shop.rows("select order_id from raw.order_lines") == [("1",)]


def test_a_required_source_that_brought_nothing_good_stops_the_run_until_it_does(shop):
    shop.source(SHOP + "required: true\n")
    shop.put("shop/a.csv", "")
    for _ in range(2):
        with pytest.raises(BadData, match="Every newest file of shop was refused"):
            shop.ingest()
    shop.at("2026-02-01T10:30:00+01:00")
    shop.put("shop/a.csv", GOOD)
    assert shop.ingest()["shop"]["accepted"] == 1


def test_a_kill_in_the_middle_leaves_nothing_of_the_source_and_a_rerun_all(shop, monkeypatch):
    shop.put("shop/a.csv", GOOD)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest._Loader, "_record_files", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.ingest()
    assert shop.rows(
        "select (select count(*) from raw.order_lines) as lines, (select count(*) from raw.files) as files"
    ) == [(0, 0)]
    assert shop.ingest()["shop"]["accepted"] == 1


def test_a_large_backlog_is_loaded_in_parts(shop, monkeypatch):
    monkeypatch.setattr(ingest, "_BYTES_AT_ONCE", 100)
    for number in range(4):
        shop.put(f"shop/{number}.csv", HEADER + line(str(number)))
    assert shop.ingest()["shop"]["accepted"] == 4
    assert shop.rows("select count(distinct _batch_id) as batches, count(*) as lines from raw.order_lines") == [(4, 4)]


def test_a_past_state_of_knowledge_can_be_loaded(shop, homes):
    shop.put("shop/a.csv", GOOD)
    shop.ingest()
    shop.at("2026-02-03T09:30:00+01:00")
    shop.put("shop/b.csv", HEADER + line("2"))
    shop.ingest()
    homes.lose_warehouse(shop.settings)
    shop.ingest(known_at=datetime(2026, 2, 2, tzinfo=UTC))
    assert shop.rows("select order_id from raw.order_lines") == [("1",)]


def test_a_lost_warehouse_is_loaded_equal_from_the_landing(shop, homes):
    shop.put("shop/a.csv", GOOD + line("2", number="") * 2 + line("3", qty="x"))
    shop.ingest()
    before = tables(shop.settings)
    shutil.rmtree(shop.settings.inbox_dir)
    homes.lose_warehouse(shop.settings)
    shop.ingest()
    assert tables(shop.settings) == before
