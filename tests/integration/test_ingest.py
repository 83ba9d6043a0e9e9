"""From files in the inbox to raw tables: every row ends somewhere, whatever is in the file."""

import csv
import gzip
import io
import json
import logging
import os
import shutil
from datetime import UTC, date, datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.flows import ingest
from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig, BadData
from perennial.foundation.settings import load_settings
from perennial.sources import open_scratch
from perennial.warehouse import Warehouse, open_warehouse

RUN = Run(date(2026, 1, 31), Origin.DEMO)

SHOP = """
source: shop
contract: order_lines
path: shop/*
format: csv
encodings: [utf-8, cp1252]
timezone: America/New_York
columns:
  order_id: order_no
  line_no: line
  ordered_at: date
  sku: [sku, article]
  product_name: name
  quantity: qty
  unit_price: {sql: "replace(price, ',', '.')"}
  status: status
max_refused: 0.5
"""
HEADER = "order_no,line,date,sku,name,qty,price,status\n"


class Shop:
    """A home with sources of its own, and short ways to put files in and look at tables."""

    def __init__(self, home):
        self.home = home
        self.include = home / "include"
        (self.include / "sources").mkdir(parents=True)
        shutil.copytree(load_settings().include / "expectations", self.include / "expectations")
        self.source(SHOP)
        self.at("2026-02-01T09:30:00+01:00")

    def at(self, moment):
        self.settings = load_settings(home=self.home, include=self.include, now=moment)

    def source(self, text, **changes):
        for before, after in changes.values():
            assert before in text
            text = text.replace(before, after)
        name = text.split("source: ")[1].split()[0]
        (self.include / "sources" / f"{name}.yaml").write_text(text)

    def put(self, name, content):
        path = self.settings.inbox_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def ingest(self, known_at=None):
        for source in ingest.source_names(self.settings):
            ingest.land(source, RUN, self.settings)
        return ingest.load(RUN, self.settings, known_at)

    def rows(self, sql):
        with open_warehouse(self.settings) as warehouse:
            return [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]

    def file(self, name):
        [row] = self.rows(f"select status, rows, accepted, quarantined, reason from raw.files where file = '{name}'")
        return dict(zip(("status", "rows", "accepted", "quarantined", "reason"), row, strict=True))


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def line(  # noqa: PLR0917 - a line has as many fields
    order="1", number="1", day="2026-01-05 10:00", sku="s1", name="Tee", qty="1", price="9.90", status="completed"
):
    return f"{order},{number},{day},{sku},{name},{qty},{price},{status}\n"


GOOD = HEADER + line()


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


def test_a_file_without_its_header_is_refused_without_repeating_its_first_row(shop, caplog):
    shop.put("shop/a.csv", line(name="Anna Beispiel"))
    shop.ingest()
    found = shop.file("shop/a.csv")
    assert found["status"] == "refused"
    assert "has none of the columns of the mapping" in found["reason"]
    assert "Anna" not in found["reason"] + caplog.text


def test_nothing_new_loads_nothing_and_needs_no_quality_gate(shop, monkeypatch):
    shop.put("shop/a.csv", GOOD)
    shop.ingest()
    monkeypatch.setattr(ingest, "validate", None)
    assert shop.ingest()["shop"]["files"] == 0
    assert shop.rows("select count(*) from raw.order_lines") == [(1,)]


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


def test_a_refused_file_is_tried_again_when_its_source_is_corrected(shop):
    shop.put("shop/b.csv", GOOD.replace("price", "cost"))
    shop.ingest()
    assert shop.ingest()["shop"]["files"] == 0
    shop.source(SHOP, price=("replace(price", "replace(cost"))
    assert shop.ingest()["shop"]["accepted"] == 1
    assert shop.file("shop/b.csv")["status"] == "loaded"


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


def test_a_wrong_type_quarantines_the_row_with_every_reason(shop):
    bad = line("2", day="31.31.2026", qty="nan", price="-1", status="lost")
    shop.put("shop/a.csv", GOOD + bad + line("3"))
    shop.ingest()
    [(row, reasons, content)] = shop.rows("select row, reasons, content from quarantine.rows")
    assert row == 2
    assert json.loads(reasons) == ["readable: ordered_at, quantity", "status_known", "unit_price_not_negative"]
    assert json.loads(content)["date"] == "31.31.2026"
    assert shop.rows("select order_id, _row from raw.order_lines order by _row") == [("1", 1), ("3", 3)]


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
    assert shop.rows("select (select count(*) from raw.order_lines), (select count(*) from quarantine.rows)") == [
        (0, 0)
    ]


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


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_marks_and_blank_lines(shop, ending, mark):
    text = mark + "\n" + GOOD + "\n,,,,,,,\n" + line("2") + "\n"
    shop.put("shop/a.csv", text.replace("\n", ending))
    shop.ingest()
    assert shop.rows("select order_id from raw.order_lines order by 1") == [("1",), ("2",)]


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
    append = Warehouse.append

    def killed(self, table, rows):
        if table == "raw.files":
            raise KeyboardInterrupt
        append(self, table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.ingest()
    assert shop.rows("select (select count(*) from raw.order_lines), (select count(*) from raw.files)") == [(0, 0)]
    assert shop.ingest()["shop"]["accepted"] == 1


def test_a_large_backlog_is_loaded_in_parts(shop, monkeypatch):
    monkeypatch.setattr(ingest, "_BYTES_AT_ONCE", 100)
    for number in range(4):
        shop.put(f"shop/{number}.csv", HEADER + line(str(number)))
    assert shop.ingest()["shop"]["accepted"] == 4
    assert shop.rows("select count(distinct _batch_id), count(*) from raw.order_lines") == [(4, 4)]


def test_a_past_state_of_knowledge_can_be_loaded(shop):
    shop.put("shop/a.csv", GOOD)
    shop.ingest()
    shop.at("2026-02-03T09:30:00+01:00")
    shop.put("shop/b.csv", HEADER + line("2"))
    shop.ingest()
    shop.settings.home.joinpath("warehouse.duckdb").unlink()
    shop.ingest(known_at=datetime(2026, 2, 2, tzinfo=UTC))
    assert shop.rows("select order_id from raw.order_lines") == [("1",)]


def test_a_deleted_warehouse_is_rebuilt_equal_from_the_landing(shop):
    shop.put("shop/a.csv", GOOD + line("2", number="") * 2 + line("3", qty="x"))
    shop.ingest()
    content = "select * exclude (_ingested_at) from raw.order_lines order by all"
    before = shop.rows(content), shop.rows("select row, reasons, content from quarantine.rows")
    shutil.rmtree(shop.settings.inbox_dir)
    shop.settings.home.joinpath("warehouse.duckdb").unlink()
    shop.ingest()
    assert (shop.rows(content), shop.rows("select row, reasons, content from quarantine.rows")) == before


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
