"""
A year of a real shop's invoices: every row is accounted for, and the figures are those that pandas finds.

In which ways the year may come in is tried in `test_online_retail_ways.py`.
"""

import gzip
import shutil
from datetime import UTC, date, datetime

import pytest

from online_retail import FIRST, LAST, YEAR, Shop, days_between, settings_of, split, state
from online_retail_figures import figures_of
from perennial.flows.validate import checks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not YEAR.exists(), reason=f"the data set is not at {YEAR} (examples/online_retail/README.md)"),
]

SUMMER = date(2010, 6, 30)


@pytest.fixture(scope="module")
def figures():
    return figures_of(YEAR, LAST)


def test_every_file_of_the_example_is_right(tmp_path):
    settings = settings_of(tmp_path, datetime(2010, 12, 1, 6, tzinfo=UTC))
    for _, check in checks(settings):
        assert check()


def test_the_year_is_split_byte_for_byte(retail_files, tmp_path):
    header, *lines = gzip.decompress(YEAR.read_bytes()).splitlines(keepends=True)
    contents = [path.read_bytes().splitlines(keepends=True) for _, path in sorted(retail_files.items())]
    assert {content[0] for content in contents} == {header}
    assert [line for content in contents for line in content[1:]] == lines
    months = sorted({f"{day:%Y-%m}.csv" for day in days_between(FIRST, LAST)})
    assert [path.name for path in split(YEAR, tmp_path, "month")] == months


def test_every_row_is_somewhere_once(at_once, figures):
    assert at_once.accounts() == {
        "landed": 502_938,
        "current": figures.current,
        "superseded": 0,
        "duplicate": figures.repeated,
        "quarantined": len(figures.refused),
        "held": 0,
        "refused": 0,
    }
    found = at_once.look(
        "select _file, _row from staging.order_lines union all select file, row from quarantine.rows order by 1, 2",
    )
    expected = [
        (f"invoices/{path.name}", row)
        for path in sorted(at_once.files.values())
        for row in range(1, path.read_bytes().count(b"\n"))
    ]
    assert found == expected


def test_the_refused_lines_are_those_with_a_negative_price(at_once, figures):
    found = at_once.look(
        "select reasons, content->>'Invoice', (content->>'Price')::double from quarantine.rows order by 2"
    )
    assert {reasons for reasons, *_ in found} == {'["unit_price_not_negative"]'}
    assert [(order, round(price * 1000)) for _, order, price in found] == list(
        zip(figures.refused["order"], figures.refused["mills"], strict=True)
    )


def agree(shop, figures):
    """Orders, customers, revenue and refunds of the shop are those of the figures, to the penny."""
    found = shop.look(
        "select order_id, coalesce(customer_id, ''), ordered_date, is_completed, lines, units::bigint,"
        " (100 * gross_revenue)::bigint, (100 * refunds)::bigint, (100 * net_revenue)::bigint"
        " from core.orders order by order_id",
    )
    assert found == list(figures.orders.sort_index().itertuples(name=None))

    days = figures.days
    bought = days["new_customers"].cumsum()
    found = shop.look(
        "select day, (100 * gross_revenue)::bigint, (100 * refunds)::bigint, (100 * net_revenue)::bigint,"
        " units::bigint, orders, guest_orders, active_customers, new_customers from marts.daily_kpis order by day",
    )
    assert found == list(days.drop(columns="second_orders").itertuples(name=None))
    rates = [rate for (rate,) in shop.look("select repeat_purchase_rate from marts.daily_kpis order by day")]
    assert rates == pytest.approx(list(days["second_orders"].cumsum() / bought), abs=1e-12)

    found = shop.look(
        "select customer_id, (100 * net_revenue)::bigint, orders, first_order_date, last_order_date,"
        " coalesce(rfm_code, '') from marts.customer_360 order by customer_id",
    )
    people = figures.customers.sort_index()[["net", "orders", "first_day", "last_day", "rfm_code"]]
    people = people.astype(object).where(people.notna(), None).fillna({"rfm_code": ""})
    assert found == list(people.itertuples(name=None))

    found = shop.look(
        "select customer_id, day, (100 * net_revenue)::bigint from core.customer_days"
        " where gross_revenue <> 0 or net_revenue <> 0 order by 1, 2",
    )
    known = figures.lines[figures.lines["customer"] != ""].groupby(["customer", "day"])[["gross", "net"]].sum()
    known = known[(known["gross"] != 0) | (known["net"] != 0)]["net"]
    assert found == [(*place, net) for place, net in known.items()]


def test_the_figures_are_those_of_an_independent_computation(at_once, figures):
    assert figures.orders["completed"].sum() == 19_967
    assert (figures.days["net"].sum(), figures.days["refund"].sum()) == (913_561_864, 52_435_395)
    agree(at_once, figures)


def test_one_file_of_the_year_run_in_summer_and_at_its_end(figures, at_once, tmp_path):
    after = datetime(2010, 12, 1, 6, tzinfo=UTC)  # in summer, lines of the autumn would be refused as impossible
    shop = Shop(tmp_path, {}, new_settings=lambda home, **_: settings_of(home, after))
    inbox = tmp_path / "inbox" / "invoices"
    inbox.mkdir(parents=True)
    shutil.copy(YEAR, inbox)

    shop.run(SUMMER)
    summer = figures_of(YEAR, SUMMER)
    assert shop.accounts() == {
        "landed": 502_938,
        "current": summer.current,
        "superseded": 0,
        "duplicate": summer.repeated,
        "quarantined": len(figures.refused),  # found when the file is read
        "held": 502_938 - summer.landed - (len(figures.refused) - len(summer.refused)),  # until their day comes
        "refused": 0,
    }
    agree(shop, summer)

    shop.run(LAST)
    of_files = {"core.file_fates"}
    whole, daily = state(shop.on(LAST)), state(at_once.on(LAST))
    for table in whole.keys() - of_files:
        if not table.startswith(("raw.", "staging.", "quarantine.")):
            assert (table, whole[table]) == (table, daily[table])
