"""
However a year of invoices comes in, the tables at its end are the same; a past day can be had again; a late day
restates only what it touches.

`WHOLE_YEAR=1 pytest …` lives through all 365 days one by one; otherwise the year comes by the quarter and its last
six days by the day.
"""

import os
import random
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pytest

from contents import orders, tables
from online_retail import (
    FIRST,
    HISTORIES,
    LAST,
    YEAR,
    Shop,
    days_between,
    live_by_quarter,
    settings_of,
    state,
)
from perennial.flows import rebuild
from perennial.flows.reading import published_folder
from perennial.flows.tables import all_models
from perennial.foundation.errors import BadConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not YEAR.exists(), reason=f"the data set is not at {YEAR} (examples/online_retail/README.md)"),
]

WHOLE_YEAR = bool(os.environ.get("WHOLE_YEAR"))
AUTUMN = date(2010, 11, 24)  # until here by the quarter
LATE, ARRIVED = date(2010, 11, 25), date(2010, 11, 28)  # a day's file that came days late
REPLAYED = random.Random(20101130).sample(days_between(LATE, LAST), 1)


@pytest.fixture(scope="module")
def until_autumn(retail_files, tmp_path_factory):
    """By the quarter, until the last one is nearly over. Not to be written to: copy it."""
    return live_by_quarter(tmp_path_factory.mktemp("until_autumn") / "home", retail_files, AUTUMN)


@pytest.fixture(scope="module")
def by_quarter(until_autumn, tmp_path_factory):
    shop = until_autumn.copy(tmp_path_factory.mktemp("by_quarter") / "home")
    shop.live_through([LAST])
    return shop


@dataclass(frozen=True)
class Lived:
    """A shop that was run day by day; what its tables were on some evenings, and a copy made of the late day's eve."""

    shop: Shop
    written: dict[date, tuple[dict, dict]]  # day → all tables, and those that are a function of the day
    eve: Shop  # the day on which the late file came is run, and the file has not come


@pytest.fixture(scope="module")
def by_day(until_autumn, retail_files, tmp_path_factory):
    home = tmp_path_factory.mktemp("by_day") / "home"
    shop = Shop(home, retail_files) if WHOLE_YEAR else until_autumn.copy(home)
    written, eve = {}, None
    for day in days_between(FIRST if WHOLE_YEAR else AUTUMN + timedelta(1), LAST):
        if day == ARRIVED:
            eve = shop.copy(tmp_path_factory.mktemp("eve") / "home")
            eve.live_through([day], late={LATE: LAST})
        shop.live_through([day], late={LATE: ARRIVED})
        if day in (*REPLAYED, AUTUMN + timedelta(1)):
            written[day] = tables(shop.on(day)), state(shop.on(day))
    return Lived(shop, written, eve)


def test_by_quarter_and_by_day_give_the_tables_of_all_at_once(at_once, by_quarter, by_day):
    expected = state(at_once.on(LAST))
    assert state(by_quarter.on(LAST)) == expected
    assert state(by_day.shop.on(LAST)) == expected
    assert by_quarter.accounts() == by_day.shop.accounts() == at_once.accounts()
    models = all_models(at_once.on(LAST))
    assert {name for name, model in models.items() if model.refresh == "history"} == HISTORIES


def test_histories_add_up_to_the_same_and_agree_on_days_that_both_ran(at_once, by_quarter, by_day):
    last_told = {
        "segments.membership_changes": ("segment, customer_id", "change"),
        "loyalty.tier_changes": ("customer_id", "to_tier"),
        "churn.risk_changes": ("customer_id", "to_risk"),
    }
    for table, (who, what) in last_told.items():
        newest = (
            f"select {who}, {what} from {table} qualify row_number() over (partition by {who} order by day desc) = 1"
        )
        sql = f"select * from ({newest}) where {what} <> 'left' order by all"
        told = at_once.look(sql)
        assert told
        assert by_quarter.look(sql) == told
        assert by_day.shop.look(sql) == told

    days = "select distinct day from marts.segment_daily"
    shared = set(by_quarter.look(days)) & set(by_day.shop.look(days))
    assert len(shared) == 5
    sizes = "select day, segment, customers, net_revenue_12m, at_high_risk from marts.segment_daily order by all"
    found = [[row for row in shop.look(sizes) if (row[0],) in shared] for shop in (by_quarter, by_day.shop)]
    assert found[0] == found[1]


@pytest.mark.parametrize("day", REPLAYED)
def test_a_past_day_replayed_is_what_was_written_that_day(by_day, day, tmp_path):
    settings = by_day.shop.on(LAST)
    before = tables(settings)
    for _, step in rebuild.replay(day, tmp_path / "replay", settings):
        step()
    replayed = settings_of(tmp_path / "replay", settings.now)
    assert state(replayed) == by_day.written[day][1]
    assert (replayed.published_dir / "latest" / "report.html").is_file()
    assert tables(settings) == before


def test_with_its_history_a_replayed_day_is_all_that_was_written(by_day, tmp_path):
    day = AUTUMN + timedelta(1)
    settings = by_day.shop.on(LAST)
    for _, step in rebuild.replay(day, tmp_path / "replay", settings, with_history=True):
        step()
    assert tables(settings_of(tmp_path / "replay", settings.now)) == by_day.written[day][0]


def test_a_replay_is_refused_for_a_day_never_run_and_a_folder_in_use(by_day, tmp_path):
    settings = by_day.shop.on(LAST)
    with pytest.raises(BadConfig, match=r"Day 2009-11-30 cannot be replayed: .*the newest is 2010-11-30"):
        list(rebuild.replay(FIRST - timedelta(1), tmp_path / "replay", settings))
    with pytest.raises(BadConfig, match="is not empty: name a new folder"):
        list(rebuild.replay(LAST, by_day.shop.home, settings))


# Of a late day's rows: (what tells that a row is theirs, columns that depend on everybody and are left out).
_DAY = f"day = date '{LATE}'"
_PEOPLE = "customer_id in (select customer_ref from core_late)"
_ORDERS = "order_id in (select order_id from core_late)"
_IDENTITIES = "substring(identity, 5) in (select customer_ref from core_late)"
TOUCHED = {
    "staging.order_lines": (_ORDERS, ()),
    "core.order_lines": (_ORDERS, ()),
    "core.orders": (_ORDERS, ()),
    "core.day_totals": (_DAY, ()),
    "core.customer_days": (_DAY, ()),
    "core.file_fates": (f"file = 'invoices/{LATE}.csv'", ()),
    "core.links": (_IDENTITIES, ()),
    "core.trusted_links": (_IDENTITIES, ()),
    "core.components": (_IDENTITIES, ()),
    "core.identities": (_PEOPLE, ()),
    "core.customers": (_PEOPLE, ()),
    "customers.purchases": (_PEOPLE, ()),
    "customers.favourites": (_PEOPLE, ()),
    "customers.activity": (_PEOPLE, ()),
    "customers.profile": (_PEOPLE, ("rfm_code", "rfm_segment")),
    "loyalty.points_entries": (_PEOPLE, ()),
    "loyalty.balances": (_PEOPLE, ()),
    "loyalty.tiers": (_PEOPLE, ()),
    "loyalty.tier_changes": (f"day = date '{ARRIVED}' and {_PEOPLE}", ()),
    "segments.by_customer": (_PEOPLE, ("segments",)),
    "churn.scores": (_PEOPLE, ("expected_gap_days", "overdue", "churn_probability", "churn_risk")),
    "campaigns.audience": (_PEOPLE, ("rfm_code", "rfm_segment", "churn_risk", "churn_probability", "segments")),
    "marts.customer_360": (
        _PEOPLE,
        ("rfm_code", "rfm_segment", "churn_risk", "churn_probability", "clv_12m", "segments"),
    ),
    "marts.daily_kpis": (_DAY, ("new_customers", "repeat_purchase_rate")),
    "marts.data_health": (f"day = date '{ARRIVED}'", ()),
    "raw.order_lines": (f"_file = 'invoices/{LATE}.csv'", ()),
    "raw.files": (f"file = 'invoices/{LATE}.csv'", ()),
    "raw.forms": (f"file = 'invoices/{LATE}.csv'", ()),
    "raw.mix": (f"file = 'invoices/{LATE}.csv'", ()),
    "raw.checks": (f"day = date '{ARRIVED}'", ()),
    # A person's place among all others, or of all: what it says of the day may change for anybody.
    "customers.rfm": ("true", ()),
    "segments.membership": ("true", ()),
    "segments.membership_changes": (f"day = date '{ARRIVED}'", ()),
    "churn.risk_changes": (f"day = date '{ARRIVED}'", ()),
    "marts.segment_daily": (f"day = date '{ARRIVED}'", ()),
    "campaigns.candidates": ("true", ()),
    "campaigns.occasions": (_PEOPLE, ()),
    "campaigns.tier_occasions": (_PEOPLE, ()),
    "campaigns.plan": ("true", ()),
}


def test_a_day_that_comes_late_restates_only_what_it_touches(by_day, tmp_path):
    before = by_day.eve
    shop = before.copy(tmp_path / "home")
    eve = published_folder(shop.on(ARRIVED)).resolve()
    shop.arrive([LATE])
    shop.run(ARRIVED)

    every_table, changed = sorted(tables(shop.on(ARRIVED))), set()
    with duckdb.connect() as connection:
        connection.execute(f"attach '{before.home}/warehouse.duckdb' as before (read_only)")
        connection.execute(f"attach '{shop.home}/warehouse.duckdb' as after (read_only)")
        connection.execute(
            f"create table core_late as select * from after.raw.order_lines where _file = 'invoices/{LATE}.csv'"
        )
        for table in every_table:
            is_theirs, of_everybody = TOUCHED.get(table, ("false", ()))
            left_out = f"exclude ({', '.join(of_everybody)})" if of_everybody else ""
            rows = [f"select * {left_out} from {one}.{table}" for one in ("before", "after")]
            difference = f"(({rows[0]} except all {rows[1]}) union all ({rows[1]} except all {rows[0]}))"
            count, others = connection.execute(
                f"select count(*), count(*) filter (where not coalesce({is_theirs}, false)) from {difference}"
            ).fetchone()
            assert (table, others) == (table, 0)
            if count:
                changed.add(table)
        replaced = connection.execute(
            "select table_name, how from after.state.builds except all select table_name, how from before.state.builds"
        ).fetchall()
    assert {
        "staging.order_lines",
        "core.orders",
        "core.day_totals",
        "customers.purchases",
        "marts.daily_kpis",
    } <= changed
    models = all_models(shop.on(ARRIVED))
    hows = {"rebuild": "rebuilt", "history": "history"}
    assert sorted(replaced) == sorted((name, hows.get(model.refresh, "replaced")) for name, model in models.items())

    found = orders(shop.on(ARRIVED))
    assert all(rows == found["warehouse"] for rows in found.values())
    months = {file.name: file for file in (published_folder(shop.on(ARRIVED)) / "orders").iterdir()}
    written = {name for name, file in months.items() if not file.samefile(eve / "orders" / name)}
    assert f"{LATE:%Y-%m}.parquet" in written
    assert len(written) < len(months)
