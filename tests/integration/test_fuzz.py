"""
Whatever comes in: a clean load or a clear word, and every row that landed is in exactly one place.

One run judges hundreds of files, each with one mistake (mutations.py). The rows are counted a second time by other
means than the product's: `records` below.
"""

import csv
import gzip
import io
import json
import logging
import re
import signal
from collections import defaultdict
from contextlib import contextmanager, nullcontext
from itertools import cycle, pairwise

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from intake import RUN, Shop
from mutations import (
    LONG,
    PACKED,
    PARQUET_MUTATIONS,
    SECRET,
    TEXT_MUTATIONS,
    good_row,
    hostile_values,
    other_types,
    parquet,
    written,
)

from accounts import accounted_for
from homes import run_day
from perennial.contracts import load_contracts
from perennial.flows import refresh, tables
from perennial.foundation.settings import load_settings
from perennial.sources import Batch, reading

CONTRACTS = load_contracts(load_settings())
FORMATS = ("csv", "jsonl", "parquet")
SOURCES = {f"{name}_{format_}": (contract, format_) for name, contract in CONTRACTS.items() for format_ in FORMATS}
LONGEST_TEXT_LINES = 500  # beyond it, a quote counts as never closed
SOME_ROWS = 24


class World:
    """A shop with one source per contract and format; what is put in is remembered, to be counted."""

    def __init__(self, home, warehouse=None, sources=tuple(SOURCES)):
        self.shop = Shop(home, warehouse)
        (self.shop.include / "sources" / "shop.yaml").unlink()
        for source in sources:
            contract, format_ = SOURCES[source]
            columns = ", ".join(f"{column}: {column}" for column in contract.columns)
            self.shop.source(
                f"source: {source}\ncontract: {contract.name}\npath: {source}/*\nformat: {format_}\n"
                f"encodings: [utf-8, cp1252]\ntimezone: Europe/Berlin\nmax_refused: 1\ncolumns: {{{columns}}}\n"
            )
        self.sources = sources
        self.files = {}  # name → content
        self.mutated = set()  # (contract, format, column)

    def rows(self, source, count=SOME_ROWS):
        """Good rows, unlike all others."""
        return [good_row(SOURCES[source][0], len(self.files), n) for n in range(count)]

    def put(self, source, case, content):
        """`case` may end in a suffix of compression."""
        stem, _, suffix = case.replace(".", "_").replace("_gz", ".gz").replace("_zst", ".zst").partition(".")
        file = f"{source}/{stem}.{SOURCES[source][1]}{suffix and '.' + suffix}"
        assert file not in self.files
        self.files[file] = content
        self.shop.put(file, content)

    def put_rows(self, source, case, rows):
        contract, format_ = SOURCES[source]
        self.put(source, case, written(rows, format_, [*contract.columns]))

    def put_hostile_values(self, source, column):
        """One value in every other row, so that good and bad ones are neighbours."""
        contract, format_ = SOURCES[source]
        values = hostile_values(contract.columns[column], format_)
        rows = self.rows(source, 2 * len(values) + 1)
        for row, value in zip(rows[1::2], values, strict=True):
            row[column] = value
        self.put_rows(source, f"column-{column}", rows)
        self.mutated.add((contract.name, format_, column))


def fill(world):
    """Every column of every contract in every format; each mistake of a file in some contract."""
    for source in world.sources:
        contract, format_ = SOURCES[source]
        columns = [*contract.columns]
        world.put_rows(source, "good", world.rows(source))
        for column in columns:
            world.put_hostile_values(source, column)
        for column, other in pairwise(columns):
            rows = [row | {column: row[other], other: row[column]} for row in world.rows(source)]
            world.put_rows(source, f"swapped-{column}", rows)
        rows = world.rows(source)
        world.put_rows(source, "keys-twice", [*rows, *rows[:9], *(row | {columns[-1]: None} for row in rows[9:])])
        long = next(name for name, column in contract.columns.items() if column.type == "text")
        world.put_rows(source, "long", [*world.rows(source), good_row(contract, 9999, 1) | {long: LONG}])
    for format_, mutations in (
        ("csv", TEXT_MUTATIONS | PACKED),
        ("jsonl", TEXT_MUTATIONS | PACKED),
        ("parquet", PARQUET_MUTATIONS),
    ):
        of_format = [source for source in world.sources if SOURCES[source][1] == format_]
        for source, (name, mutate) in zip(cycle(of_format), mutations.items()):
            content = written(world.rows(source), format_, [*SOURCES[source][0].columns])
            world.put(source, f"file-{name}", mutate(content))
        if format_ == "parquet":
            for source in of_format:
                put_other_types(world, source)


def put_other_types(world, source):
    columns = [*SOURCES[source][0].columns]
    rows = world.rows(source)
    kinds = [*other_types(["a"])]
    for shift in range(3):
        arrays = {
            name: other_types([row[name] for row in rows])[kinds[(number + 7 * shift) % len(kinds)]]
            for number, name in enumerate(columns)
        }
        world.put(source, f"types-{shift}", parquet(arrays))
    good = {name: [row[name] for row in rows] for name in columns}
    world.put(source, "no-rows", parquet({name: pa.array([], pa.string()) for name in columns}))
    world.put(source, "no-columns", parquet({}))
    world.put(
        source, "names-of-readers", parquet(good | {"file_row_number": [1] * SOME_ROWS, "filename": ["x"] * SOME_ROWS})
    )
    world.put(source, "names-in-other-case", parquet(good | {columns[0].upper(): ["y"] * SOME_ROWS}))


# Counted by other means.


def records(file, content):
    """How many records a readable file has."""
    if file.endswith(".gz"):
        content = gzip.decompress(content)
    elif file.endswith(".zst"):
        content = pa.input_stream(pa.py_buffer(content), compression="zstd").read()
    if ".parquet" in file:
        return pyarrow.parquet.ParquetFile(io.BytesIO(content)).metadata.num_rows
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text_of(content))
    if ".jsonl" in file:
        return sum(bool(line.strip()) for line in lines)
    while lines and not lines[0].strip():
        lines.pop(0)
    return csv_records(lines) - 1


def text_of(content):
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def csv_records(lines):
    """A line that begins no whole record is one of its own; a record of blanks is none."""
    found, at = 0, 0
    while at < len(lines):
        reader = csv.reader(lines[at : at + LONGEST_TEXT_LINES], strict=True)
        try:
            found += any(next(reader))
            at += reader.line_num
        except csv.Error:
            found += 1
            at += 1
    return found


def check(world):
    """Each record of each file is in one place, by its number; what is not loaded says why. Raises AssertionError."""
    told = {row[0]: row[1:] for row in world.shop.rows("select file, status, rows, reason from raw.files")}
    assert told.keys() == world.files.keys()
    places = defaultdict(list)
    for file, row in world.shop.rows(
        " union all ".join(
            [f"select _file as file, _row as row from staging.{contract}" for contract in CONTRACTS]
            + [
                f"select _file as file, _row as row from raw.{name} where _day > date '{RUN.day}'"
                for name, contract in CONTRACTS.items()
                if contract.dated_by
            ]
            + ["select file, row from quarantine.rows"]
        )
    ):
        places[file].append(row)
    for file, content in world.files.items():
        status, rows, reason = told[file]
        if status == "loaded":
            assert sorted(places[file]) == [*range(1, rows + 1)], file
        else:
            assert not places[file], file
            assert (status == "refused" and file in reason) or (status in ("duplicate", "held") and reason), (
                file,
                reason,
            )
        if status in ("loaded", "held"):
            assert rows == records(file, content), (file, rows, records(file, content))
    for file, reasons, content in world.shop.rows("select file, reasons, content from quarantine.rows"):
        assert json.loads(reasons), file
        assert content, file


@contextmanager
def within(seconds):
    """What takes longer is stopped where it is."""

    def stop(*_):
        raise TimeoutError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_whatever_is_wrong_with_a_file_each_row_of_all_files_is_in_one_place(tmp_path, homes, caplog):
    caplog.set_level(logging.INFO)
    # What is read does not hang on the warehouse: a server needs each contract once.
    each_once = [f"{name}_{format_}" for name, format_ in zip(CONTRACTS, cycle(FORMATS), strict=False)]
    sources = [*SOURCES] if homes.engine == "duckdb" else each_once
    world = World(tmp_path, homes.settings(tmp_path).warehouse, sources)
    fill(world)
    tried = [SOURCES[source] for source in sources]
    assert world.mutated == {(c.name, format_, name) for c, format_ in tried for name in c.columns}
    with within(240):
        run_day(RUN, world.shop.settings)
    check(world)
    accounted_for(world.shop.settings)

    status = dict(world.shop.rows("select file, status from raw.files"))
    assert {file: told for file, told in status.items() if "/column-" in file and told not in ("loaded", "held")} == {}
    neighbours = "select file from quarantine.rows where file like '%/column-%' and row % 2 = 1"
    assert world.shop.rows(neighbours) == []
    for contract, format_ in tried:
        file = f"{contract.name}_{format_}/good.{format_}"
        good = f"select count(*) as rows from staging.{contract.name} where _file = '{file}' and fate = 'current'"
        assert world.shop.rows(good) == [(SOME_ROWS,)]
    spoken = [
        caplog.text,
        *world.shop.rows("select reason from raw.files"),
        *world.shop.rows("select detail from raw.checks"),
    ]
    for personal in (SECRET, "@shop.example"):
        assert [text for text in spoken if personal in str(text)] == []


# Mistakes together, by chance.

MISTAKES = st.lists(st.sampled_from(sorted(TEXT_MUTATIONS.keys() - {"one-long-line"})), min_size=1, max_size=3)
SPOILT = st.lists(st.tuples(MISTAKES, st.integers(0, 1000)), min_size=1, max_size=8)


@pytest.mark.slow
@hypothesis_settings(max_examples=6, deadline=None)
@given(spoilt=SPOILT, source=st.sampled_from([source for source in SOURCES if "parquet" not in source]))
def test_however_mistakes_come_together_each_row_is_in_one_place(tmp_path_factory, spoilt, source):
    contract, format_ = SOURCES[source]
    world = World(tmp_path_factory.mktemp("any"), sources=[source])
    world.put_rows(source, "good", world.rows(source))
    for number, (mistakes, choice) in enumerate(spoilt):
        rows = world.rows(source)
        for at, (name, column) in enumerate(contract.columns.items()):
            values = hostile_values(column, format_)
            rows[(choice + at) % SOME_ROWS][name] = values[(choice + 7 * at) % len(values)]
        content = written(rows, format_, [*contract.columns])
        for mistake in mistakes:
            content = TEXT_MUTATIONS[mistake](content)
        world.put(source, f"{number}-{'-'.join(mistakes)}", content)
    with within(60):
        world.shop.ingest()
        refresh.refresh("staging", RUN, world.shop.settings)
    check(world)


# The suite itself.


def a_record_is_skipped(patch):
    whole = reading.records

    def fewer(*arguments):
        return (record for number, record in enumerate(whole(*arguments)) if number != 2)

    patch.setattr(reading, "records", fewer)


def an_accepted_row_is_left_out(patch):
    whole = Batch.accepted
    patch.setattr(Batch, "accepted", lambda *given: whole(*given).read_all().slice(1).to_reader())


def a_refused_row_is_left_out(patch):
    whole = Batch.quarantined
    patch.setattr(Batch, "quarantined", lambda *given: whole(*given).read_all().slice(1).to_reader())


def staging_leaves_a_row_out(patch):
    whole = tables.staging_sql
    condition = "landed._day <= $day"
    patch.setattr(
        tables, "staging_sql", lambda contract: whole(contract).replace(condition, f"{condition} and landed._row <> 2")
    )


@pytest.mark.parametrize(
    "bug",
    [None, a_record_is_skipped, an_accepted_row_is_left_out, a_refused_row_is_left_out, staging_leaves_a_row_out],
)
def test_a_bug_that_loses_one_row_is_found(tmp_path, monkeypatch, bug):
    source = "order_lines_csv"
    world = World(tmp_path, sources=[source])
    world.put_rows(source, "good", world.rows(source))
    world.put_hostile_values(source, "quantity")
    content = written(world.rows(source), "csv", [*CONTRACTS["order_lines"].columns])
    world.put(source, "open-quote", TEXT_MUTATIONS["open-quote"](content))
    if bug:
        bug(monkeypatch)
    world.shop.ingest()
    refresh.refresh("staging", RUN, world.shop.settings)
    with pytest.raises(AssertionError) if bug else nullcontext():
        check(world)
