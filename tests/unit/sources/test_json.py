"""Files of JSON, and rows that lie in an array of each object: every object and element is a row or put aside."""

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings
from perennial.sources import forms_of, load_source, open_scratch, parse, take

SOURCE = """
source: shop
contract: products
path: shop/*
format: json
columns: {sku: sku, name: name}
"""
EACH = SOURCE.replace("columns: {sku: sku", "each: lines\ncolumns: {sku: {sql: \"lines->>'$.sku'\"}")


@pytest.fixture
def home(tmp_path):
    (tmp_path / "include" / "sources").mkdir(parents=True)
    (tmp_path / "inbox" / "shop").mkdir(parents=True)
    return tmp_path


class Read:
    """What became of files: rows of (file, row, sku, name), what was put aside, and why a file was refused."""

    def __init__(self, home, source, **files):
        (home / "include" / "sources" / "shop.yaml").write_text(source)
        settings = load_settings(home=home, include=home / "include", now="2026-02-01T09:30:00+01:00")
        for manifest in settings.landing_dir.glob("*/manifest.jsonl"):
            manifest.unlink()
        for old in (home / "inbox" / "shop").iterdir():
            old.unlink()
        for name, text in files.items():
            (home / "inbox" / "shop" / name).write_bytes(text.encode())
        source = load_source("shop", settings)
        with open_scratch(source.timezone, settings) as scratch:
            batch = parse(scratch, source, take(source, settings), settings)
            scratch.connection.execute("create table findings as select _id, ['wrong'] as reasons from typed")
            name = "(select split_part(name, '/', 2) from files where number = {})"
            self.rows = scratch.rows(f"select {name.format('_file')}, _row, sku, name from typed order by 1, 2")
            self.aside = scratch.rows(f"select {name.format('__file')}, __row, content from unframed order by 1, 2")
            self.refused = {entry.file.partition("/")[2]: reason for entry, reason in batch.refused.items()}
            self.counted = sum(count.rows for count in batch.counts("findings", settings.zone))
            at = settings.now
            refused = batch.quarantined("findings", [], 1, at, at.date()).read_all().to_pylist()
            self.contents = {(row["file"].partition("/")[2], row["row"]): row["content"] for row in refused}
            self.forms = {form.column_name for forms in forms_of(batch).values() for form in forms}
        assert self.counted == len(self.rows) + len(self.aside)


def test_an_array_has_a_row_for_each_object_and_an_object_is_one(home):
    read = Read(home, SOURCE, a='\ufeff \n[{"sku": "s1", "name": "Tee"},\n {"sku": "s2"}]\n', b='{"sku": "s3"}', c="[]")
    assert read.rows == [("a", 1, "s1", "Tee"), ("a", 2, "s2", None), ("b", 1, "s3", None)]
    assert (read.aside, read.refused) == ([], {})


def test_what_is_no_object_is_put_aside_with_its_number(home):
    read = Read(home, SOURCE, a='[1, {"sku": "s1"}, null, ["x"], {"sku": "s2"}, "y"]')
    assert read.rows == [("a", 2, "s1", None), ("a", 5, "s2", None)]
    assert read.aside == [("a", 1, "1"), ("a", 3, "null"), ("a", 4, '["x"]'), ("a", 6, '"y"')]


@pytest.mark.parametrize(
    "text",
    ["", " \n", "sku\ns1\n", '[{"sku": "s1"}, {"sku": "s2"', '[{"sku": "s1"}] [', '[{"sku": s1}]', '"sku"', "null"],
)
def test_what_is_no_whole_json_is_refused_by_name_and_the_others_are_read(home, text):
    read = Read(home, SOURCE, bad=text, good='[{"sku": "s9"}]')
    assert read.rows == [("good", 1, "s9", None)]
    assert list(read.refused) == ["bad"]
    assert "Source shop, file shop/bad: " in read.refused["bad"]
    assert str(home) not in read.refused["bad"]


def test_a_file_without_a_key_that_is_needed_is_refused(home):
    read = Read(home, EACH, a='[{"name": "x"}]', b='[{"name": "x", "lines": []}]')
    assert "column 'lines' is missing, from which sku is read" in read.refused["a"]
    assert read.rows == [("b", 1, None, "x")]


def test_each_element_is_a_row_and_an_object_without_any_is_one_too(home):
    orders = [
        {"name": "o1", "lines": [{"sku": "s1"}, {"sku": "s2"}]},
        7,
        {"name": "o2", "lines": []},
        {"name": "o3"},
        {"name": "o4", "lines": None},
        {"name": "o5", "lines": [{"sku": "s3"}, None, {"sku": "s4"}]},
        {"name": "o6", "lines": {"sku": "s5"}},
        "x",
    ]
    read = Read(home, EACH, a=json.dumps(orders), b=json.dumps(orders[0]))
    assert read.rows == [
        ("a", 1, "s1", "o1"),
        ("a", 2, "s2", "o1"),
        ("a", 4, None, "o2"),
        ("a", 5, None, "o3"),
        ("a", 6, None, "o4"),
        ("a", 7, "s3", "o5"),
        ("a", 8, None, "o5"),
        ("a", 9, "s4", "o5"),
        ("a", 10, "s5", "o6"),
        ("b", 1, "s1", "o1"),
        ("b", 2, "s2", "o1"),
    ]
    assert read.aside == [("a", 3, "7"), ("a", 11, '"x"')]
    assert json.loads(read.contents["a", 2]) == {"name": "o1", "lines": '{"sku":"s2"}'}, "its own element alone"
    assert json.loads(read.contents["a", 11]) == {"_text": '"x"'}


def test_lines_of_json_may_have_elements_too(home):
    source = EACH.replace("format: json", "format: jsonl")
    read = Read(home, source, a='{"lines": [{"sku": "s1"}, {"sku": "s2"}]}\nnot json\n{"name": "o", "lines": []}\n')
    assert read.rows == [("a", 1, "s1", None), ("a", 2, "s2", None), ("a", 4, None, "o")]
    assert read.aside == [("a", 3, "not json")]


def test_an_element_that_is_a_plain_value_is_that_value(home):
    source = SOURCE.replace("{sku: sku", "{sku: 'a \"b\"'").replace("columns", "each: 'a \"b\"'\ncolumns")
    read = Read(home, source, a='[{"a \\"b\\"": ["s1", 2, "n\\u0000l"]}]')
    assert [row[2] for row in read.rows] == ["s1", "2", "nl"]


def test_keys_that_nothing_reads_are_watched(home):
    orders = [{"name": "o", "mood": "good", "lines": [{"sku": "s1"}]}] * 3
    assert Read(home, EACH, a=json.dumps(orders)).forms == {"sku", "name", "mood"}


ELEMENTS = st.lists(
    st.fixed_dictionaries({"sku": st.text("ab1 é", min_size=1).map(lambda text: f"s{text}s")}), max_size=4
)
OBJECTS = st.fixed_dictionaries({"name": st.just("o")}, optional={"lines": ELEMENTS | st.none()})


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(OBJECTS | st.integers(), max_size=8))
def test_rows_are_numbered_without_a_gap_in_the_order_of_the_file(home, objects):
    expected = []
    for one in objects:
        lines = one.get("lines") if isinstance(one, dict) else [{"sku": str(one)}]
        expected += [line["sku"] for line in lines or [{"sku": None}]]
    anchor = {"name": "o", "lines": [{"sku": "last"}]}  # so that the file has the keys
    read = Read(home, EACH, a=json.dumps([*objects, anchor]))
    found = {row: sku for _, row, sku, _ in read.rows} | {row: text for _, row, text in read.aside}
    assert [found[number] for number in sorted(found)] == [*expected, "last"]
    assert sorted(found) == list(range(1, len(found) + 1))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("format: json", "format: csv", "field each: 'lines' is for json and jsonl"),
        ("each: lines", "each: items", "field each: no column is read from 'items'"),
    ],
)
def test_an_array_that_no_row_can_come_from_is_told(home, before, after, words):
    (home / "include" / "sources" / "shop.yaml").write_text(EACH.replace(before, after))
    with pytest.raises(BadConfig, match=f"shop.yaml: {words}"):
        load_source("shop", load_settings(home=home, include=home / "include"))
