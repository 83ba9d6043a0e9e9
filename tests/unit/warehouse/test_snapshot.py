import errno
import shutil
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.foundation.errors import Permanent, Retryable
from perennial.foundation.settings import load_settings
from perennial.warehouse import open_warehouse
from perennial.warehouse.snapshot import FILE, Previous, SnapshotTable, open_snapshot, write_snapshot

ORDERS = SnapshotTable(
    "marts.orders",
    "select id, paid from marts.orders order by id",
    "What was sold; it's one row per order.",
    {"id": "the order", "paid": "what was paid (business currency)"},
    is_public=True,
)
NAMES = SnapshotTable("internal.names", pa.table({"name": ["a", None]}))


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path, now="2026-02-01T09:30:00+01:00")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "snapshot").mkdir()
    return tmp_path / "snapshot"


def write(settings, folder, values="(1, 9.50), (2, 0.10)"):
    with open_warehouse(settings) as warehouse:
        warehouse.execute("create schema if not exists marts")
        warehouse.execute("create or replace table marts.orders (id bigint, paid decimal(12, 2))")
        warehouse.execute(f"insert into marts.orders values {values}")
        return write_snapshot(warehouse, folder, [ORDERS, NAMES])


def test_holds_tables_comments_and_parquet_of_public_ones(settings, folder):
    contents = write(settings, folder)
    assert contents["marts.orders"].rows == 2
    assert contents["marts.orders"].columns == {"id": "BIGINT", "paid": "DECIMAL(12,2)"}
    with open_snapshot(folder, settings) as snapshot:
        assert snapshot.tables() == ["internal.names", "marts.orders"]
        found = snapshot.query("select id, paid::text as paid from marts.orders where id = $id", id=2).to_pylist()
        comments = snapshot.query("select comment from duckdb_columns() where table_name = 'orders'").to_pylist()
        tables = snapshot.query("select comment from duckdb_tables() where table_name = 'orders'").to_pylist()
    assert found == [{"id": 2, "paid": "0.10"}]
    assert [row["comment"] for row in comments] == ["the order", "what was paid (business currency)"]
    assert tables == [{"comment": "What was sold; it's one row per order."}]
    assert sorted(path.name for path in folder.iterdir()) == ["orders.parquet", FILE]
    assert pq.read_table(folder / "orders.parquet").schema.field("paid").type == pa.decimal128(12, 2)


def test_checksum_follows_content_and_not_row_order(settings, tmp_path):
    checksums = []
    for number, values in enumerate(["(1, 9.50), (2, 0.10)", "(2, 0.10), (1, 9.50)", "(1, 9.50), (2, 0.11)"]):
        (tmp_path / str(number)).mkdir()
        checksums.append(write(settings, tmp_path / str(number), values)["marts.orders"].checksum)
    assert checksums[0] == checksums[1] != checksums[2]


def test_is_read_while_the_warehouse_is_being_written(settings, folder):
    write(settings, folder)
    with open_warehouse(settings) as warehouse, open_snapshot(folder, settings) as snapshot:
        warehouse.execute("delete from marts.orders")
        assert snapshot.query("select count(*) as n from marts.orders").to_pylist() == [{"n": 2}]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from marts.nothing",
        "insert into marts.orders values (3, 1)",
        "drop table marts.orders",
        "select * from read_csv('/etc/passwd')",
        "copy marts.orders to '/tmp/perennial_stolen.csv'",
        "attach '/tmp/perennial_stolen.duckdb'",
        "set enable_external_access = true",
        "install httpfs",
        "select * from sql",  # a variable of the program
        "selec",
        "",
    ],
)
def test_refuses_what_is_no_query_over_its_tables(settings, folder, sql):
    write(settings, folder)
    with open_snapshot(folder, settings) as snapshot, pytest.raises(Permanent) as error:
        snapshot.query(sql)
    assert "Tables: internal.names, marts.orders." in str(error.value)


def test_broken_file_is_named(settings, folder):
    (folder / FILE).write_bytes(b"no database at all" * 1000)
    with pytest.raises(Retryable, match=FILE), open_snapshot(folder, settings):
        pass


def test_disk_that_takes_no_more_is_retryable(settings, folder, monkeypatch):
    def full(*_):
        raise duckdb.IOException("IO Error: No space left on device")

    monkeypatch.setattr("perennial.warehouse.snapshot._write", full)
    with pytest.raises(Retryable, match="No space left"):
        write(settings, folder)
    monkeypatch.undo()
    (folder / FILE).unlink()
    assert write(settings, folder)["marts.orders"].rows == 2  # nothing stays attached


BY_DAY = SnapshotTable(
    "core.orders", "select id, day, paid from core.orders order by day, id", "Orders.", {"id": "the order"}, True, "day"
)
PUBLISHED = date(2026, 2, 28)
DAYS = [date(2025, 12, 30), date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 31), date(2026, 2, 28)]
COLUMNS = pa.schema({"id": pa.int64(), "day": pa.date32(), "paid": pa.int64()})
ROWS = st.dictionaries(st.integers(1, 30), st.tuples(st.sampled_from(DAYS), st.integers(0, 3)), max_size=20)


def fill(warehouse, rows):
    warehouse.create("core.orders", {"id": "bigint", "day": "date", "paid": "bigint"})
    warehouse.execute("delete from core.orders")
    found = [{"id": number, "day": day, "paid": paid} for number, (day, paid) in rows.items()]
    warehouse.append("core.orders", pa.Table.from_pylist(found, COLUMNS))


def snapshot_of(warehouse, folder, previous=None):
    folder.mkdir()
    return write_snapshot(warehouse, folder, [BY_DAY, NAMES], previous)


def held(folder, settings):
    """The rows of the table, and of its Parquet files by month."""
    with open_snapshot(folder, settings) as snapshot:
        rows = snapshot.query("select id, day, paid from core.orders order by id").to_pylist()
        comments = snapshot.query("select table_name, comment from duckdb_tables() order by all").to_pylist()
    months = {
        file.stem: sorted(pq.read_table(file).to_pylist(), key=lambda row: row["id"])
        for file in (folder / "orders").iterdir()
    }
    return rows, months, comments


@pytest.mark.slow
@hypothesis_settings(max_examples=8, deadline=None)
@given(before=ROWS, after=ROWS, more=st.sets(st.sampled_from(DAYS)))
def test_changed_days_over_the_one_before_equal_a_snapshot_made_anew(before, after, more):
    changed = {day for _, (day, _) in before.items() ^ after.items()} | more
    with tempfile.TemporaryDirectory() as home:
        settings = load_settings(home=Path(home), now="2026-02-01T09:30:00+01:00")
        first, second, anew = (Path(home) / name for name in ("first", "second", "anew"))
        with open_warehouse(settings) as warehouse:
            fill(warehouse, before)
            contents = snapshot_of(warehouse, first)
            fill(warehouse, after)
            found = snapshot_of(warehouse, second, Previous(first, contents, PUBLISHED, frozenset(changed)))
            assert found == snapshot_of(warehouse, anew)
        assert held(second, settings) == held(anew, settings)


def test_only_the_months_of_changed_days_are_written(settings, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    with open_warehouse(settings) as warehouse:
        fill(warehouse, dict(enumerate([(day, 1) for day in DAYS])))
        contents = snapshot_of(warehouse, first)
        fill(warehouse, dict(enumerate([(day, 2) for day in DAYS])))
        snapshot_of(warehouse, second, Previous(first, contents, PUBLISHED, frozenset({date(2026, 1, 1)})))
    assert [file.stem for file in sorted(second.glob("orders/*"))] == ["2025-12", "2026-01", "2026-02"]
    linked = {file.stem for file in second.glob("orders/*") if file.samefile(first / "orders" / file.name)}
    assert linked == {"2025-12", "2026-02"}
    rows, months, _ = held(second, settings)
    assert [row["paid"] for row in rows] == [1, 1, 2, 1, 1]  # what was not said to have changed is not looked at
    assert [row["paid"] for row in months["2026-01"]] == [2, 1]
    shutil.rmtree(first)
    assert held(second, settings)[0] == rows  # it stands alone


def test_of_a_history_the_days_since_the_last_publication_are_made_anew(settings, tmp_path):
    history = replace(BY_DAY, name="core.orders", is_public=False, is_history=True)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    with open_warehouse(settings) as warehouse:
        fill(warehouse, dict(enumerate([(day, 1) for day in DAYS])))
        contents = write_snapshot(warehouse, first, [history])
        fill(warehouse, dict(enumerate([(day, 2) for day in [*DAYS, date(2026, 3, 1)]])))
        previous = Previous(first, contents, date(2026, 1, 31), frozenset({DAYS[0]}))
        write_snapshot(warehouse, second, [history], previous)
    with open_snapshot(second, settings) as snapshot:
        paid = snapshot.query("select paid from core.orders order by day")["paid"].to_pylist()
    assert paid == [1, 1, 1, 2, 2, 2]  # that of 31 January might have been made again since


def test_without_hard_links_the_months_are_copied(settings, tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", unknown)
    first, second = tmp_path / "first", tmp_path / "second"
    with open_warehouse(settings) as warehouse:
        fill(warehouse, dict(enumerate([(day, 1) for day in DAYS])))
        contents = snapshot_of(warehouse, first)
        snapshot_of(warehouse, second, Previous(first, contents, PUBLISHED, frozenset({date(2026, 1, 1)})))
    assert held(second, settings) == held(first, settings)
