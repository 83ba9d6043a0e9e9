"""
Copies of tables that readers may open while the warehouse is being written.

A snapshot is a DuckDB file that is never written again, with Parquet beside it for each public table; on a server there
is a schema of copies too. Tables and columns carry their documentation as comments. A table that grows with history is
taken over from the snapshot before, but for the days whose rows have changed, so that its cost is the day's.
"""

import hashlib
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlglot

from perennial.foundation.errors import Permanent, Retryable
from perennial.foundation.settings import Settings
from perennial.warehouse.compose import translate
from perennial.warehouse.engine import Warehouse
from perennial.warehouse.model import DIALECT

FILE = "perennial.duckdb"
_WRITER_MEMORY = "1GB"  # beside the warehouse, which sorts and may fill its own limit meanwhile


@dataclass(frozen=True)
class SnapshotTable:
    """One table of a snapshot: its name, what fills it, and what is said about it."""

    name: str  # schema.table
    rows: str | pa.Table  # a SELECT over the warehouse, or the rows themselves
    sentence: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)  # column -> documentation
    is_public: bool = False  # gets a Parquet file; or with `day` a folder of them, one a month
    day: str = ""  # column with a row's day, of a table that grows with history
    is_history: bool = False  # each day adds rows of its own and later ones, and changes no earlier row

    @property
    def short_name(self) -> str:
        return self.name.partition(".")[2]


@dataclass(frozen=True)
class TableContent:
    """What a written table holds. Equal content has an equal checksum, whatever the order of its rows."""

    rows: int
    columns: dict[str, str]  # column -> type
    checksum: str


@dataclass(frozen=True)
class Previous:
    """A snapshot of the same tables, made as of `day`, and the days whose rows may be others now."""

    folder: Path
    contents: Mapping[str, TableContent]
    day: date
    changed_days: frozenset[date]

    def changed(self, table: SnapshotTable) -> str:
        """A condition for the rows of the table that may be others now."""
        if table.is_history:
            return f"{table.day} >= date '{self.day}'"
        return _on_days(table, self.changed_days)


def fingerprint(tables: Sequence[SnapshotTable]) -> str:
    """Changes with how the tables that can be taken over are made, described and summed."""
    told = [duckdb.__version__, *(table for table in tables if table.day)]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def write_snapshot(
    warehouse: Warehouse, folder: Path, tables: Sequence[SnapshotTable], previous: Previous | None = None
) -> dict[str, TableContent]:
    """
    Write `tables` of the warehouse into `folder`: `perennial.duckdb` and the Parquet of each public one.

    Tables with a `day` are taken over from the snapshot `previous`, where there is one. Raises Retryable when the disk
    does not take it.
    """
    if previous:
        shutil.copyfile(previous.folder / FILE, folder / FILE)
    try:
        with duckdb.connect(str(folder / FILE), config={"memory_limit": _WRITER_MEMORY}) as connection:
            connection.execute("set timezone = 'UTC'")
            if previous:
                _drop_all_but(connection, {table.name for table in tables if table.day})
            contents = {
                table.name: _change(connection, warehouse, folder, table, previous)
                if table.day and previous
                else _write(connection, warehouse, folder, table)
                for table in tables
            }
            connection.execute("checkpoint")
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise Retryable(f"{folder}: the snapshot cannot be written: {error}. Free disk space or memory.") from error
    return contents


def _drop_all_but(connection: duckdb.DuckDBPyConnection, kept: Collection[str]) -> None:
    for table in Snapshot(connection).tables():
        if table not in kept:
            connection.execute(f"drop table {table}")


def _write(
    connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, folder: Path, table: SnapshotTable
) -> TableContent:
    connection.execute(f"create schema if not exists {table.name.partition('.')[0]}")
    with _rows(warehouse, table) as rows:
        connection.register("incoming", rows)
        connection.execute(f"create table {table.name} as select * from incoming")
        connection.unregister("incoming")
    connection.execute(f"comment on table {table.name} is '{_quoted(table.sentence)}'")
    for column, text in table.columns.items():
        connection.execute(f"comment on column {table.name}.{column} is '{_quoted(text)}'")
    if table.is_public and table.day:
        _write_months(connection, folder, table, _months(connection, table))
    elif table.is_public:
        _copy(connection, table.name, folder / f"{table.short_name}.parquet")
    columns = {str(row[0]): str(row[1]) for row in connection.execute(f"describe {table.name}").fetchall()}
    rows_written, checksum = _count_and_sum(connection, table)
    return TableContent(rows_written, columns, f"{checksum:x}")


def _change(
    connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, folder: Path, table: SnapshotTable, previous: Previous
) -> TableContent:
    """Make the changed days of a table anew, and the Parquet files of their months; the other months are linked."""
    old, condition = previous.contents[table.name], previous.changed(table)
    left = _count_and_sum(connection, table, condition)
    months = _months(connection, table, condition)
    connection.execute(f"delete from {table.name} where {condition}")
    with _rows(warehouse, table, condition) as rows:
        connection.register("incoming", rows)
        connection.execute(f"insert into {table.name} select * from incoming")
        connection.unregister("incoming")
    came = _count_and_sum(connection, table, condition)
    if table.is_public:
        months |= _months(connection, table, condition)
        _write_months(connection, folder, table, months)
        for file in (previous.folder / table.short_name).iterdir():
            if file.stem not in months:
                _take_over(file, folder / table.short_name / file.name)
    return TableContent(old.rows - left[0] + came[0], old.columns, f"{int(old.checksum, 16) - left[1] + came[1]:x}")


def _take_over(file: Path, target: Path) -> None:
    """The same file under another name; on a file system without hard links a copy of it."""
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)


def _write_months(
    connection: duckdb.DuckDBPyConnection, folder: Path, table: SnapshotTable, months: Iterable[str]
) -> None:
    """A Parquet file `<table>/<year>-<month>.parquet` of each month that has rows."""
    (folder / table.short_name).mkdir()
    for month in sorted(months):
        condition = f"{table.day} between date '{month}-01' and last_day(date '{month}-01')"
        if _count_and_sum(connection, table, condition)[0]:
            _copy(connection, f"(from {table.name} where {condition})", folder / table.short_name / f"{month}.parquet")


def _copy(connection: duckdb.DuckDBPyConnection, rows: str, file: Path) -> None:
    connection.execute(f"copy {rows} to '{_quoted(file)}' (format parquet, compression zstd)")


def _count_and_sum(
    connection: duckdb.DuckDBPyConnection, table: SnapshotTable, condition: str = "true"
) -> tuple[int, int]:
    """How many rows of the table there are, and the sum of their hashes."""
    sql = f"select count(*), coalesce(sum(hash(t)), 0) from {table.name} as t where {condition}"
    ((rows, checksum),) = connection.execute(sql).fetchall()
    return rows, int(checksum)


def _on_days(table: SnapshotTable, days: Iterable[date]) -> str:
    listed = ", ".join(f"date '{day}'" for day in sorted(days))
    return f"{table.day} in ({listed})" if listed else "false"


def _months(connection: duckdb.DuckDBPyConnection, table: SnapshotTable, condition: str = "true") -> set[str]:
    """The months of the table's rows, as 2026-01."""
    sql = f"select distinct strftime({table.day}, '%Y-%m') from {table.name} where {condition}"
    return {month for (month,) in connection.execute(sql).fetchall()}


def _rows(
    warehouse: Warehouse, table: SnapshotTable, condition: str = ""
) -> AbstractContextManager[pa.Table | pa.RecordBatchReader]:
    if isinstance(table.rows, pa.Table):
        return nullcontext(table.rows)
    return warehouse.stream(_select(table, warehouse, condition))


def publish_schema(
    warehouse: Warehouse, tables: Sequence[SnapshotTable], changed_days: Collection[date] | None
) -> None:
    """
    Put copies of the public `tables` into the schema `published`, all at once, for BI tools that connect to the engine.

    Of tables with a `day` only the `changed_days` are made anew; None stands for all there are. Their readers never see
    a table that is being made. The schema stays, so that what it grants stays too.
    """
    with warehouse.transaction():
        for table in tables:
            published = f"published.{table.short_name}"
            if table.is_public and table.day and changed_days is not None and warehouse.has(published):
                condition = _on_days(table, changed_days)
                warehouse.execute(f"delete from {published} where {condition}")
                warehouse.execute(f"insert into {published} {_select(table, warehouse, condition)}")
            elif table.is_public:
                warehouse.drop(f"{published}__new")
                warehouse.create_as(f"{published}__new", _select(table, warehouse))
                warehouse.swap(f"{published}__new", published)
                warehouse.execute(f"comment on table {published} is '{_quoted(table.sentence)}'")
                for column, text in table.columns.items():
                    warehouse.execute(f"comment on column {published}.{column} is '{_quoted(text)}'")
                warehouse.tune(published, [table.day] if table.day else ())


def _select(table: SnapshotTable, warehouse: Warehouse, condition: str = "") -> str:
    sql = f"select * from ({table.rows}) as picked where {condition}" if condition else str(table.rows)
    return translate(sqlglot.parse_one(sql, read=DIALECT), warehouse.dialect)


def _quoted(text: object) -> str:
    return str(text).replace("'", "''")


class Snapshot:
    """An open snapshot. It stays readable when a newer one takes its place."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def tables(self) -> list[str]:
        """Every table as schema.table."""
        rows = self._connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where not internal order by all"
        ).fetchall()
        return [str(name) for (name,) in rows]

    def query(self, sql: str, **parameters: object) -> pa.Table:
        """
        Run one SELECT; `$name` in it is bound to the parameter of that name.

        Raises Permanent with the engine's message and the tables there are.
        """
        try:
            found: duckdb.DuckDBPyRelation | None = self._connection.sql(sql, params=parameters or None)
            if found is None:
                raise duckdb.InvalidInputException("it returns no rows: write a SELECT")
            return found.to_arrow_table()
        except duckdb.Error as error:
            raise Permanent(f"The query cannot be run: {error}\nTables: {', '.join(self.tables())}.") from error


@contextmanager
def open_snapshot(folder: Path, settings: Settings) -> Iterator[Snapshot]:
    """
    The snapshot in `folder`, read-only, without access to any other file or to the network.

    Raises Retryable when it cannot be opened.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "memory_limit": settings.memory_limit,
    }
    try:
        connection = duckdb.connect(str(folder / FILE), read_only=True, config=config)
    except duckdb.IOException as error:
        raise Retryable(f"{folder / FILE}: the snapshot cannot be opened: {error}") from error
    try:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set python_enable_replacements = false")  # a query may not read our variables
        connection.execute("set lock_configuration = true")
        yield Snapshot(connection)
    finally:
        connection.close()
