"""
Copies of tables that readers may open while the warehouse is being written.

A snapshot is a DuckDB file that is never written again, with a Parquet file beside it for each public table; on a
server there is a schema of copies too. Tables and columns carry their documentation as comments.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
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
    rows: str | pa.Table  # a SELECT over the warehouse, ordered; or the rows themselves
    sentence: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)  # column -> documentation
    is_public: bool = False  # gets a Parquet file


@dataclass(frozen=True)
class TableContent:
    """What a written table holds. Equal content has an equal checksum, whatever the order of its rows."""

    rows: int
    columns: dict[str, str]  # column -> type
    checksum: str


def write_snapshot(warehouse: Warehouse, folder: Path, tables: Sequence[SnapshotTable]) -> dict[str, TableContent]:
    """
    Write `tables` of the warehouse into `folder`: `perennial.duckdb` and `<table>.parquet` of each public one.

    Raises Retryable when the disk does not take it.
    """
    try:
        with duckdb.connect(str(folder / FILE), config={"memory_limit": _WRITER_MEMORY}) as connection:
            connection.execute("set timezone = 'UTC'")
            contents = {table.name: _write(connection, warehouse, folder, table) for table in tables}
            connection.execute("checkpoint")
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise Retryable(f"{folder}: the snapshot cannot be written: {error}. Free disk space or memory.") from error
    return contents


def _write(
    connection: duckdb.DuckDBPyConnection, warehouse: Warehouse, folder: Path, table: SnapshotTable
) -> TableContent:
    schema, _, name = table.name.partition(".")
    connection.execute(f"create schema if not exists {schema}")
    with _rows(warehouse, table) as rows:
        connection.register("incoming", rows)
        connection.execute(f"create table {table.name} as select * from incoming")
        connection.unregister("incoming")
    connection.execute(f"comment on table {table.name} is '{_quoted(table.sentence)}'")
    for column, text in table.columns.items():
        connection.execute(f"comment on column {table.name}.{column} is '{_quoted(text)}'")
    if table.is_public:
        file = _quoted(folder / f"{name}.parquet")
        connection.execute(f"copy {table.name} to '{file}' (format parquet, compression zstd)")
    columns = {str(row[0]): str(row[1]) for row in connection.execute(f"describe {table.name}").fetchall()}
    content = connection.execute(f"select count(*), coalesce(sum(hash(t)), 0) from {table.name} as t").fetchall()
    rows_written, checksum = content[0]
    return TableContent(rows_written, columns, f"{checksum:x}")


def _rows(warehouse: Warehouse, table: SnapshotTable) -> AbstractContextManager[pa.Table | pa.RecordBatchReader]:
    if isinstance(table.rows, pa.Table):
        return nullcontext(table.rows)
    return warehouse.stream(_translated(table.rows, warehouse))


def publish_schema(warehouse: Warehouse, tables: Sequence[SnapshotTable]) -> None:
    """
    Put copies of the public `tables` into the schema `published`, all at once, for BI tools that connect to the engine.

    Their readers never see a table that is being made. The schema stays, so that what it grants stays too.
    """
    with warehouse.transaction():
        for table in tables:
            if table.is_public:
                published = f"published.{table.name.partition('.')[2]}"
                warehouse.drop(f"{published}__new")
                warehouse.create_as(f"{published}__new", _translated(table.rows, warehouse))
                warehouse.swap(f"{published}__new", published)
                warehouse.execute(f"comment on table {published} is '{_quoted(table.sentence)}'")
                for column, text in table.columns.items():
                    warehouse.execute(f"comment on column {published}.{column} is '{_quoted(text)}'")
                warehouse.tune(published, ())


def _translated(sql: object, warehouse: Warehouse) -> str:
    return translate(sqlglot.parse_one(str(sql), read=DIALECT), warehouse.dialect)


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
