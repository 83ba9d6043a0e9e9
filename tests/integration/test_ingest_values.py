"""What a value may be: both engines hold the same of it; a row that cannot be held is in quarantine and only there."""

import csv
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet
import pytest
from intake import HEADER, RUN, SHOP, Shop

from conformance import differences, held
from homes import Homes
from perennial.flows import refresh

EVENTS = """
source: web
contract: interactions
path: web/*
format: jsonl
columns:
  event_id: id
  occurred_at: at
  customer_ref: user
  channel: {sql: "'web'"}
  kind: {sql: "event->>'name'"}
  value: value
  text: said
  properties: event
max_refused: 1
"""
PEOPLE = """
source: people
contract: customers
path: people/*
format: csv
columns: {customer_ref: ref, birthday: born, updated_at: changed}
max_refused: 1
"""


@pytest.fixture
def everywhere(postgres, tmp_path):
    """Runs what is put in through the gate and the first tables of each engine; the DuckDB shop, when all are equal."""

    def run(fill):
        shops = []
        for homes in (Homes("duckdb", None), Homes("postgresql", postgres)):
            home = tmp_path / homes.engine
            home.mkdir()
            shop = Shop(home, homes.settings(home).warehouse)
            fill(shop)
            for figures in shop.ingest().values():
                assert figures["landed"] == figures["accepted"] + figures["quarantined"]
                assert figures["refused"] == figures["held"] == 0
            for schema in ("staging", "core"):
                refresh.refresh(schema, RUN, shop.settings)
            shops.append(shop)
        assert differences(*(held(shop.settings) for shop in shops), shops[0].settings) == []
        return shops[0]

    return run


def put_csv(shop, file, header, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    shop.put(file, header + text.getvalue())


def quarantined(shop):
    """(file, row) -> reasons."""
    rows = shop.rows("select file, row, reasons from quarantine.rows")
    return {(file.partition("/")[0], row): json.loads(reasons) for file, row, reasons in rows}


def test_any_text(everywhere):
    texts = [
        "\\N",
        "\\.",
        "NULL",
        '"',
        "''",
        "$1 %s %(x)s {} ; --",
        "早安 🌱👩🏽‍🌾 e\u0301 \u202e",
        "a\nb\r\nc\td",
        "\u2028\u0085",
        "\x01\x1b\x7f",
        "x" * 100_000,
    ]

    def fill(shop):
        put_csv(shop, "shop/a.csv", HEADER, ([n, 1, "2026-01-05", n, text, 1, 1, ""] for n, text in enumerate(texts)))

    shop = everywhere(fill)
    assert [text for (text,) in shop.rows("select product_name from core.order_lines order by sku::bigint")] == texts


def test_names_are_at_most_as_long_as_postgresql_can_index(everywhere):
    def name(length):
        return random.Random(length).randbytes(length // 2).hex()

    def fill(shop):
        rows = [(name(500), "1"), (name(502), "1"), (1, name(500)), (1, name(502)), (2, "ä" * 250), (2, "ä" * 251)]
        everything = ("max_refused: 0.5", "max_refused: 1")
        shop.source(SHOP.replace("status: status", "email: status"), all=everything)
        put_csv(shop, "shop/a.csv", HEADER, ([*row, "2026-01-05", "s", "", 1, 1, name(500)] for row in rows))
        shop.source(PEOPLE)
        put_csv(shop, "people/a.csv", "ref,born,changed\n", [(name(500), "", ""), (name(100_000), "", "")])

    shop = everywhere(fill)
    assert quarantined(shop) == {
        ("shop", 2): ["readable: order_id"],
        ("shop", 4): ["readable: line_no"],
        ("shop", 6): ["readable: line_no"],
        ("people", 2): ["readable: customer_ref"],
    }


def test_text_with_a_character_that_postgresql_cannot_hold(everywhere):
    """Plain text with NUL is no text at all; JSON can write one, Parquet can hold one: it is left out."""

    def fill(shop):
        lake = SHOP.replace("shop", "lake").replace("format: csv", "format: parquet")
        shop.source(lake, any=("max_refused: 0.5", "max_refused: 1"))
        rows = {"order_no": ["1", "a\0b", "\0"], "qty": ["1", "1\0", "1"], "name": ["\0x", "\0", "y"]}
        rows |= {"date": ["2026-01-05"] * 3, "price": ["1"] * 3, "line": ["1"] * 3}
        pa.parquet.write_table(pa.table(rows), shop.put("lake/a.parquet", b""))
        shop.source(EVENTS)
        event = {"at": "2026-01-03T10:00:00Z", "user": "c\0", "said": "a\0b", "k\0ey": 1}
        lines = [{"id": "e\0", **event, "event": {"name": "se\0arch"}}, {"id": "\0", **event, "event": {"name": "\0"}}]
        lone = '{"id": "e3", "at": "2026-01-03T10:00:00Z", "user": "c", "said": "\\ud800", "event": {"name": "search"}}'
        shop.put("web/a.jsonl", "\n".join([*map(json.dumps, lines), lone, "bro\\u0000ken {"]))

    shop = everywhere(fill)
    assert shop.rows("select order_id, product_name, quantity::integer from core.order_lines order by 1") == [
        ("1", "x", 1),
        ("ab", None, 1),
    ]
    assert shop.rows("select event_id, customer_ref, kind, text from staging.interactions") == [
        ("e", "c", "search", "ab")
    ]
    assert quarantined(shop) == {
        ("lake", 3): ["order_id_present"],
        ("web", 2): ["kind_present"],
        ("web", 3): ["framing"],
        ("web", 4): ["framing"],
    }


NUMBERS = {  # quantity, price, discount -> why the row is refused
    ("1", "0.00005", "0.005"): None,
    ("999999999", "0.01", ""): None,
    ("1", "99999999.9999", "999999999.99"): None,
    ("1", "1", "1000000000"): ["amount_plausible"],
    ("1", "1", "99999999999"): ["readable: discount"],
    ("1", "1000000000", ""): ["amount_plausible"],
    ("1", "1e400", ""): ["readable: unit_price"],
    ("1", "inf", ""): ["readable: unit_price"],
    ("-inf", "nan", ""): ["readable: quantity, unit_price"],
    ("1e-9", "1", ""): ["quantity_not_zero"],
    ("9" * 41, "1", ""): ["readable: quantity"],
}


def test_numbers_at_the_limits_of_their_types(everywhere):
    def fill(shop):
        shop.source(SHOP.replace("status: status", "discount: less"), any=("max_refused: 0.5", "max_refused: 1"))
        header = HEADER.replace("status", "less")
        put_csv(shop, "shop/a.csv", header, ([1, n, "2026-01-05", "s", "", *row] for n, row in enumerate(NUMBERS)))
        shop.source(EVENTS)
        for n, value in enumerate(("1e308", "5e-324", "-0.0", "1e400", "12345678901234567890")):
            event = '{"id": %d, "at": "2026-01-03T10:00:00Z", "user": "c", "event": {"name": "x"}, "value": %s}'
            shop.put(f"web/{n}.jsonl", event % (n, value))

    shop = everywhere(fill)
    refused = {("shop", n): reasons for n, reasons in enumerate(NUMBERS.values(), 1) if reasons}
    assert quarantined(shop) == refused | {("web", 1): ["readable: value"]}
    assert shop.rows("select value from core.interactions order by event_id") == [
        (1e308,),
        (5e-324,),
        (0.0,),
        (12345678901234567890.0,),
    ]


def test_days_at_the_limits_of_time(everywhere):
    """Nothing beyond the years 1 to 9999, in any time zone: neither Arrow nor Python can show it."""
    days = ["9999-12-31", "0001-01-01", "10000-01-01", "294276-01-01", "0044-03-15 (BC)", "-0001-01-01", "infinity"]

    def fill(shop):
        shop.source(PEOPLE)
        rows = [*([n, day, "2026-01-05"] for n, day in enumerate(days)), *([n, "", day] for n, day in enumerate(days))]
        put_csv(shop, "people/a.csv", "ref,born,changed\n", rows)

    shop = everywhere(fill)
    assert [str(day) for (day,) in shop.rows("select birthday from staging.customers order by 1")] == [
        "0001-01-01",
        "9999-12-31",
    ]
    unreadable = {("people", row): ["readable: birthday"] for row in range(3, 8)}
    unreadable |= {("people", row): ["readable: updated_at"] for row in range(9, 15)}
    assert quarantined(shop) == unreadable | {("people", 8): ["updated_at_not_in_the_future"]}
