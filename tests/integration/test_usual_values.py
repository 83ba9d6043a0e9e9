"""A source that brings other values than usual, or names what nobody knows, is told."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pytest

from homes import Homes
from perennial.flows import ingest
from perennial.foundation.days import Origin, Run
from perennial.foundation.settings import Settings, load_settings
from perennial.warehouse import open_warehouse

on_files = pytest.mark.parametrize("homes", ["duckdb"], indirect=True)  # nothing of it hangs on the engine
FIRST = date(2026, 1, 6)
USUAL = {
    "sku": lambda n: f"s{n % 50}", "back": "", "currency": "EUR", "channel": lambda n: "web" if n % 8 else "store",
    "price": "9",
}  # fmt: skip
CONTRACTS = {
    "lines": """
contract: lines
description: A line of an order.
key: [order_id]
dated_by: day
touches: {lines: _key}
columns:
  order_id: {type: text, required: true}
  day: {type: date, required: true}
  sku: {type: text, refers_to: things.sku}
  back: {type: text, pii: true, refers_to: lines.order_id}
  currency: {type: text, mix: true}
  channel: {type: text, mix: true}
  price: {type: price, mix: true}
""",
    "things": """
contract: things
description: A thing.
key: [sku]
touches: {things: _key}
columns:
  sku: {type: text, required: true}
""",
}
SOURCES = {
    "shop": """
source: shop
contract: lines
path: shop/*.csv
format: csv
columns: {order_id: order_id, day: day, sku: sku, back: back, currency: currency, channel: channel, price: price}
""",
    "things": """
source: things
contract: things
path: things/*.csv
format: csv
columns: {sku: sku}
""",
}


@dataclass
class Shop:
    """A shop of three hundred lines a Tuesday, each eighth sold in the store."""

    homes: Homes
    settings: Settings

    def at(self, week):
        """The day that is run, with the clock on the morning after."""
        day = FIRST + timedelta(weeks=week)
        self.settings = self.settings.model_copy(update={"now": datetime.combine(day + timedelta(1), time(9), UTC)})
        return day

    def live(self, week, **change):
        """A day of the shop; a change of a column is a value, or what gives one for a line's number."""
        day, columns = self.at(week), USUAL | change
        lines = [
            ",".join([f"{week}-{n}", str(day), *(value(n) if callable(value) else value for value in columns.values())])
            for n in range(300)
        ]
        self.put("shop", day, f"order_id,day,{','.join(columns)}", lines)
        ingest.load(Run(day, Origin.REPLAY), self.settings)

    def put(self, source, day, header, lines):
        path = self.settings.inbox_dir / source / f"{day}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *lines]) + "\n")
        ingest.land(source, Run(day, Origin.REPLAY), self.settings)

    def live_again(self, week):
        """The day once more, by what was known then."""
        day = self.at(week)
        ingest.load(Run(day, Origin.REPLAY), self.settings, known_at=self.settings.now)

    def rewrite(self, source, before, after):
        path = self.settings.include / "sources" / f"{source}.yaml"
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))

    def warned(self, week):
        return self.rows(
            "select rule, detail from raw.checks where not passed and batch_id = 0"
            f" and day = date '{self.at(week)}' order by detail"
        )

    def judged(self):
        return self.rows("select day, rule, rows, passed, detail from raw.checks where batch_id = 0 order by 1, 2, 5")

    def rows(self, sql):
        with open_warehouse(self.settings) as warehouse:
            return [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]


@pytest.fixture
def shop(homes, tmp_path):
    include = tmp_path / "include"
    for folder, files in (("expectations", CONTRACTS), ("sources", SOURCES)):
        (include / folder).mkdir(parents=True)
        for name, text in files.items():
            (include / folder / f"{name}.yaml").write_text(text)
    warehouse = homes.settings(tmp_path / "home").warehouse
    return Shop(homes, load_settings(home=tmp_path / "home", include=include, warehouse=warehouse))


@pytest.mark.slow
def test_another_mix_is_told_and_told_again_by_a_rebuild(shop):
    for week in range(4):
        shop.live(week)
    shop.live(4, currency=lambda n: "USD" if n % 3 == 0 else "EUR", price="900", channel="web")
    shop.live(5)
    assert [(rule, detail.partition(";")[0]) for rule, detail in shop.warned(4)] == [
        ("mix", "channel: store 0% instead of 13%, web 100% instead of 87%"),
        ("mix", "currency: EUR 67% instead of 100%, USD 33% instead of 0%"),
        ("mix", "price: 3 to 10 0% instead of 100%, 300 to 1000 100% instead of 0%"),
    ]
    assert shop.warned(5) == []
    judged = shop.judged()
    assert [rule for _, rule, *_ in judged].count("mix") == 2 * 3
    shop.live_again(5)
    assert shop.judged() == judged

    shop.homes.lose_warehouse(shop.settings)
    for week in range(6):
        shop.live_again(week)
    assert shop.judged() == judged

    shop.rewrite("shop", "format: csv", f"format: csv\nusual_from: {FIRST + timedelta(weeks=4)}")
    shop.live_again(5)  # one week is not enough to say what is usual
    assert shop.judged() == [row for row in judged if row[0] != shop.at(5)]


@pytest.mark.slow
def test_what_nobody_knows_is_told(shop):
    shop.live(0)
    assert shop.judged() == []  # no source brings things
    shop.put("things", shop.at(1), "sku", [f"s{number}" for number in range(50)])
    shop.live(1, back=lambda n: f"0-{n}")
    assert [detail for *_, detail in shop.judged()] == [
        "back: 0 of 300 rows are unknown to lines.order_id (0%)",
        "sku: 0 of 300 rows are unknown to things.sku (0%)",
    ]
    shop.live(2, sku=lambda n: f"S{n % 40}" if n % 2 else "s1", back=lambda n: "who@example.org" if n < 60 else "")
    told = [
        ("reference", "back: 60 of 60 rows are unknown to lines.order_id (100%)"),  # personal: no example
        ("reference", "sku: 150 of 300 rows are unknown to things.sku (50%), such as 'S1', 'S11', 'S13'"),
    ]
    assert shop.warned(2) == told
    shop.live_again(2)
    assert shop.warned(2) == told


@on_files
def test_held_and_refused_rows_have_no_mix(shop):
    day = shop.at(0)
    lines = [f"{n},{day},s1,,EUR,web,{n}" for n in range(60)] + [f"{n},,s1,,USD,web,-5" for n in range(3)]
    shop.put("shop", day, f"order_id,day,{','.join(USUAL)}", [*lines, f"61,{day},s1,,,web,-5", f"62,{day},s1,,,web,"])
    shop.put("shop", shop.at(1), f"order_id,day,{','.join(USUAL)}", [f"{n},,s1,,EUR,web,1" for n in range(60)])
    ingest.load(Run(day, Origin.REPLAY), shop.settings)
    assert shop.rows("select status, accepted from raw.files order by file") == [("loaded", 62), ("held", 0)]
    assert shop.rows("select column_name, value, rows from raw.mix order by column_name, rows, value") == [
        ("channel", "web", 62),
        ("currency", "", 2), ("currency", "EUR", 60),
        ("price", "", 1), ("price", "0", 1), ("price", "minus 3 to 10", 1), ("price", "1 to 3", 2),
        ("price", "3 to 10", 7), ("price", "10 to 30", 20), ("price", "30 to 100", 30),
    ]  # fmt: skip


@on_files
def test_of_many_values_the_commonest_are_kept(shop):
    day = shop.at(0)
    lines = [f"{n},{day},s1,,C{n % 80:02},web,1" for n in range(90)]
    shop.put("shop", day, f"order_id,day,{','.join(USUAL)}", lines)
    ingest.load(Run(day, Origin.REPLAY), shop.settings)
    kept = shop.rows("select value, rows from raw.mix where column_name = 'currency' order by rows desc, value")
    assert kept == [("others", 30), *((f"C{n:02}", 2) for n in range(10)), *((f"C{n:02}", 1) for n in range(10, 50))]
