"""What a file may look like: whatever is in it, every row ends somewhere. None of it hangs on the warehouse."""

import csv
import gzip
import io
import json
import logging
import os
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from intake import GOOD, HEADER, SHOP, Shop, line

from perennial.sources import open_scratch


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_a_file_without_its_header_is_refused_without_repeating_its_first_row(shop, caplog):
    shop.put("shop/a.csv", line(name="Anna Beispiel"))
    shop.ingest()
    found = shop.file("shop/a.csv")
    assert found["status"] == "refused"
    assert "has few or none of the columns of the mapping" in found["reason"]
    assert "Anna" not in found["reason"] + caplog.text


def test_a_first_row_is_not_taken_for_a_header_because_a_value_is_called_like_a_column(shop, caplog):
    names = ["customer_ref", "email", "channel", "topic", "state", "recorded_at"]
    columns = ", ".join(f"{name}: {name}" for name in names)
    shop.source(f"source: news\ncontract: consents\npath: news/*\nformat: csv\ncolumns: {{{columns}}}\n")
    shop.put("news/a.csv", "17,anna@shop.example,email,statex,granted,2026-01-05\n")
    shop.ingest()
    reason = shop.file("news/a.csv")["reason"]
    assert "column 'state' is missing, from which state is read;" in reason
    assert "anna" not in reason + caplog.text
    assert "statex" not in reason + caplog.text


def test_a_missing_column_refuses_the_file_and_only_it(shop, caplog):
    shop.put("shop/a.csv", GOOD)
    shop.put("shop/b.csv", "order_no,line,date,qty,cost\n1,1,2026-01-05,1,9\n")
    with caplog.at_level(logging.WARNING):
        figures = shop.ingest()["shop"]
    assert (figures["accepted"], figures["refused"]) == (1, 1)
    refused = shop.file("shop/b.csv")
    assert refused["status"] == "refused"
    for words in (
        "shop",
        "shop/b.csv",
        "'price'",
        "unit_price",
        "order_no, line, date, qty, cost",
        "sources/shop.yaml",
    ):
        assert words in refused["reason"]
    assert refused["reason"] in caplog.text


def test_a_misspelt_header_is_guessed(shop):
    shop.put("shop/a.csv", GOOD.replace("price", "prcie"))
    shop.ingest()
    reason = shop.file("shop/a.csv")["reason"]
    assert "column 'price' is missing, from which unit_price is read (it has 'prcie')" in reason


def test_header_names_are_compared_without_case_and_blanks(shop):
    shop.put("shop/a.csv", GOOD.replace("order_no,line", " Order_No , LINE").replace("sku", "Article"))
    shop.ingest()
    assert shop.rows("select order_id, line_no, sku from raw.order_lines") == [("1", "1", "s1")]


def test_a_missing_optional_column_and_a_new_one_are_noted(shop):
    shop.put("shop/a.csv", GOOD.replace("status", "mood"))
    shop.ingest()
    notes = shop.rows("select rule, severity, detail from raw.checks where rule like '%_columns' order by rule")
    assert [(rule, severity) for rule, severity, _ in notes] == [
        ("missing_columns", "warning"),
        ("unknown_columns", "info"),
    ]
    assert notes[0][2].endswith(": status")
    assert notes[1][2].endswith(": mood")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "is empty"),
        ("blank.csv", b"\n\n\n", "only blank lines"),
        ("cut.csv.gz", gzip.compress(GOOD.encode() * 50)[:-12], "truncated or damaged"),
        ("junk.csv.gz", b"no archive", "truncated or damaged"),
        ("junk.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "binary data"),
        ("random.csv", bytes(range(1, 256)) * 9, "not readable as text"),
    ],
)
def test_a_file_that_is_no_csv_is_refused_with_its_name(shop, name, content, words):
    shop.put(f"shop/{name}", content)
    shop.put("shop/good.csv", GOOD)
    figures = shop.ingest()["shop"]
    assert (figures["accepted"], figures["refused"]) == (1, 1)
    refused = shop.file(f"shop/{name}")
    assert refused["status"] == "refused"
    assert name in refused["reason"]
    assert words in refused["reason"]


def test_damaged_framing_costs_only_the_damaged_lines(shop):
    shop.put(
        "shop/a.csv", HEADER + line("1") + '2,1,2026-01-05,"s1,Tee,1,1,\n' + line("3", name='"a\nb"') + "4,short\n"
    )
    shop.put("shop/b.csv", HEADER + line("5"))
    shop.ingest()
    assert shop.rows("select order_id, _row, product_name from raw.order_lines order by order_id") == [
        ("1", 1, "Tee"),
        ("3", 3, "a\nb"),
        ("5", 1, "Tee"),
    ]
    quarantine = shop.rows("select row, reasons, content from quarantine.rows order by row")
    assert [(row, json.loads(reasons)) for row, reasons, _ in quarantine] == [(2, ["framing"]), (4, ["framing"])]
    assert json.loads(quarantine[1][2]) == {"_text": "4,short"}


def test_an_open_quote_costs_its_own_line_however_many_files_there_are(shop):
    for number in range(3 * len(os.sched_getaffinity(0))):
        shop.put(f"shop/{number}.csv", HEADER + line(f"{number}-1") + '"open\n' + line(f"{number}-3"))
    shop.ingest()
    assert set(shop.rows("select rows, accepted, quarantined from raw.files")) == {(3, 2, 1)}
    assert set(shop.rows("select row, content from quarantine.rows")) == {(2, '{"_text":"\\"open"}')}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_marks_and_blank_lines(shop, ending, mark):
    text = mark + "\n" + GOOD + "\n,,,,,,,\n" + line("2") + "\n"
    shop.put("shop/a.csv", text.replace("\n", ending))
    shop.ingest()
    assert shop.rows("select order_id from raw.order_lines order by 1") == [("1",), ("2",)]


def test_blank_lines_before_the_header_end_as_they_like(shop):
    for number, beginning in enumerate(["\n\r\n", "\r\n", "\n\n", "\r", " \n", "\n \t\r\n"]):
        shop.put(f"shop/{number}.csv", beginning + HEADER + line(str(number)))
        shop.put(f"shop/{number}-broken.csv", beginning + HEADER + line(f"{number}-broken") + '"2,x\n')
    shop.ingest()
    assert shop.rows("select _row, _file = 'shop/' || order_id || '.csv' from raw.order_lines") == [(1, True)] * 12
    assert set(shop.rows("select rows, quarantined, file like '%broken%' from raw.files")) == {
        (1, 0, False),
        (2, 1, True),
    }


def test_whitespace_separated_files_without_a_header(shop):
    shop.source(
        SHOP.replace("format: csv", "format: csv\ncsv: {delimiter: whitespace, header: [order_no, date, qty, price]}")
    )
    shop.put("shop/a.txt", " 00001 2026-01-01  1   11.77\n\n 00002\t2026-01-12 1 12.00\n")
    shop.ingest()
    assert shop.rows("select order_id, cast(unit_price as double) from raw.order_lines order by 1") == [
        ("00001", 11.77),
        ("00002", 12.0),
    ]


EVENTS = """
source: web
contract: interactions
path: web/*.jsonl*
format: jsonl
columns:
  event_id: id
  occurred_at: at
  customer_ref: user
  channel: {sql: "'web'"}
  kind: {sql: "event->>'name'"}
  properties: event
max_refused: 1
"""


def test_json_lines(shop):
    shop.source(EVENTS)
    event = {"id": "e1", "at": "2026-01-03T10:00:00+01:00", "User": "c1", "event": {"name": "search", "q": "täe"}}
    lines = [json.dumps(event), "no json", "", "[1]", json.dumps({"id": "e2", "at": "2026-01-03T10:00:00Z"})]
    shop.put("web/a.jsonl.gz", gzip.compress("\n".join(lines).encode()))
    shop.put("web/b.jsonl", '{"id": "e3", "user": "c1"}\n')
    shop.put("web/quiet.jsonl", "")
    figures = shop.ingest()["web"]
    assert (figures["landed"], figures["accepted"], figures["quarantined"], figures["refused"]) == (4, 1, 3, 1)
    assert shop.rows("select _row, _key, customer_ref, kind, occurred_at from raw.interactions") == [
        (1, "e1", "c1", "search", datetime(2026, 1, 3, 9, tzinfo=UTC))
    ]
    assert [
        (row, json.loads(reasons)) for row, reasons in shop.rows("select row, reasons from quarantine.rows order by 1")
    ] == [
        (2, ["framing"]),
        (3, ["framing"]),
        (4, ["kind_present", "somebody"]),
    ]
    assert "column 'at' is missing" in shop.file("web/b.jsonl")["reason"]
    assert shop.file("web/quiet.jsonl")["status"] == "loaded"


def test_parquet(shop):
    shop.source(
        SHOP.replace("format: csv", "format: parquet")
        .replace("source: shop", "source: lake")
        .replace("shop/*", "lake/*")
    )
    table = pa.table(
        {
            "order_no": ["1", "2"],
            "line": [1, 2],
            "date": pa.array([datetime(2026, 1, 5, 9, tzinfo=UTC)] * 2, pa.timestamp("us", "UTC")),
            "qty": [1.0, float("nan")],
            "price": ["1", "1"],
        }
    )
    path = shop.put("lake/a.parquet", b"")
    pyarrow.parquet.write_table(table, path)
    shop.put("lake/b.parquet", path.read_bytes()[:-30])
    figures = shop.ingest()["lake"]
    assert (figures["accepted"], figures["quarantined"], figures["refused"]) == (1, 1, 1)
    assert shop.rows("select line_no, ordered_at from raw.order_lines") == [("1", datetime(2026, 1, 5, 9, tzinfo=UTC))]
    assert "damaged or not Parquet" in shop.file("lake/b.parquet")["reason"]


def test_a_parquet_file_that_cannot_be_read_is_refused_alone(shop):
    shop.source(SHOP.replace("shop", "lake").replace("format: csv", "format: parquet"))
    columns = {name: ["1"] for name in ("order_no", "line", "qty", "price")} | {"date": ["2026-01-05"]}
    for name, more in (("a", {"Price": ["2"]}), ("b", {}), ("c", {"Qty": ["2"]}), ("d", {"seen": ["2"]})):
        pyarrow.parquet.write_table(pa.table(columns | more), shop.put(f"lake/{name}.parquet", b""))
    figures = shop.ingest()["lake"]
    assert (figures["accepted"], figures["refused"]) == (2, 2)
    assert "File lake/a.parquet: damaged or not Parquet" in shop.file("lake/a.parquet")["reason"]


def test_an_expression_that_fails_on_a_row_refuses_the_batch_and_names_its_field(shop):
    shop.source(SHOP.replace("replace(price, ',', '.')", "cast(price as decimal(9,2))"))
    shop.put("shop/a.csv", GOOD + line("2", price="free"))
    assert shop.ingest()["shop"]["refused"] == 1
    reason = shop.file("shop/a.csv")["reason"]
    assert "Source shop, field columns.unit_price.sql: 'cast(price as decimal(9,2))' fails on some row" in reason
    assert shop.rows("select count(*) from raw.order_lines") == [(0,)]
    shop.source(SHOP)
    assert shop.ingest()["shop"]["landed"] == 2


def test_an_expression_cannot_reach_files(shop):
    with open_scratch("UTC", shop.settings) as scratch:
        secret = shop.put("secret", "secret")
        read = f"select count(*) from read_text('{secret}')"
        assert scratch.rows(read) == [(1,)]
        scratch.close_to_the_outside()
        with pytest.raises(duckdb.PermissionException):
            scratch.rows(read)
        with pytest.raises(duckdb.Error, match="locked"):
            scratch.rows("set enable_external_access = true")


def test_scratch_files_are_gone(shop):
    shop.put("shop/a.csv.gz", gzip.compress(GOOD.encode()))
    shop.ingest()
    assert not (shop.settings.home / "scratch").exists()
    assert [name for name in os.listdir(shop.settings.home) if "tmp" in name] == []  # noqa: PTH208


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15)


@hypothesis_settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(*[ANY_TEXT] * 8), min_size=1, max_size=15), tail=st.sampled_from(["", '9,"', "x\n,"]))
def test_whatever_the_text_fields_hold_every_row_is_accepted_or_quarantined(tmp_path_factory, rows, tail):
    shop = Shop(tmp_path_factory.mktemp("any"))
    shop.source(SHOP, held=("max_refused: 0.5", "max_refused: 1"))
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    shop.put("shop/a.csv", HEADER + text.getvalue() + tail)
    figures = shop.ingest()["shop"]
    assert figures["landed"] == figures["accepted"] + figures["quarantined"]
    assert figures["landed"] == sum(any(row) for row in rows) + len(
        [part for part in tail.split("\n") if part.strip(",")]
    )
