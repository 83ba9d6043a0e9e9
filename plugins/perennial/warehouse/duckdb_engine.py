"""The embedded warehouse: one DuckDB file, one writing process."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa

from perennial.foundation.errors import BadConfig, Retryable
from perennial.foundation.settings import Settings
from perennial.warehouse.lock import writer_lock

log = logging.getLogger(__name__)

_MACROS = (
    # md5 and not the engine's own hash: the same bucket on every engine, for ever.
    "create or replace temp macro bucket(txt, buckets) as cast('0x' || substr(md5(txt), 1, 8) as bigint) % buckets",
    "create or replace temp macro address_hash(address) as sha256(lower(trim(address)))",
)

# A disk or memory that is full; on commit DuckDB reports it as a failed transaction.
_OUT_OF_ROOM = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException, duckdb.FatalException)


class Warehouse:
    """A connection to the warehouse. Use `open_warehouse`, which holds the writer lock meanwhile."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._in_transaction = False

    @classmethod
    def connect(cls, path: Path, settings: Settings) -> Self:
        path.parent.mkdir(parents=True, exist_ok=True)
        spill = settings.home / "spill"
        try:
            connection = duckdb.connect(
                str(path), config={"memory_limit": settings.memory_limit, "temp_directory": str(spill)}
            )
        except duckdb.IOException as error:
            raise Retryable(f"The warehouse {path} cannot be opened: {error}") from error
        connection.execute("set timezone = 'UTC'")
        for macro in _MACROS:
            connection.execute(macro)
        return cls(connection)

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        if self._in_transaction:
            raise RuntimeError("transactions do not nest")
        self.connection.begin()
        self._in_transaction = True
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):  # after some errors the engine has rolled back already
                self.connection.rollback()
            raise
        else:
            self.connection.commit()
        finally:
            self._in_transaction = False

    def query(self, sql: str, **parameters: object) -> pa.Table:
        """Run one SELECT; `$name` in it is bound to the parameter of that name."""
        return self.connection.sql(sql, params=parameters or None).to_arrow_table()

    def value(self, sql: str, **parameters: object) -> object:
        """The first column of the first row, None where there is no row."""
        rows = self.connection.execute(sql, parameters or None).fetchall()
        return rows[0][0] if rows else None

    def count(self, sql: str, **parameters: object) -> int:
        """`value` of a SELECT that counts."""
        return int(str(self.value(sql, **parameters)))

    def execute(self, sql: str, **parameters: object) -> None:
        self.connection.execute(sql, parameters or None)

    def has(self, table: str) -> bool:
        schema, _, name = table.partition(".")
        return bool(
            self.value(
                "select count(*) from information_schema.tables where table_schema = $schema and table_name = $name",
                schema=schema,
                name=name,
            )
        )

    def columns(self, table: str) -> dict[str, str]:
        """Column name -> type, in order; empty where there is no such table."""
        schema, _, name = table.partition(".")
        rows = self.connection.execute(
            "select column_name, data_type from information_schema.columns"
            " where table_schema = $schema and table_name = $name order by ordinal_position",
            {"schema": schema, "name": name},
        ).fetchall()
        return {str(column): str(kind) for column, kind in rows}

    def create(self, table: str, columns: Mapping[str, str]) -> None:
        """Create `table` if it is missing, and add the columns it lacks. Nothing is ever dropped or retyped."""
        schema = table.partition(".")[0]
        existing = self.columns(table)
        if not existing:
            self.execute(f"create schema if not exists {schema}")
            self.execute(f"create table if not exists {table} ({', '.join(f'{c} {t}' for c, t in columns.items())})")
        for column, kind in columns.items():
            if existing and column not in existing:
                self.execute(f"alter table {table} add column {column} {kind}")

    def append(self, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Add `rows` to `table`, matched by column name."""
        self.connection.register("incoming", rows)
        try:
            self.execute(f"insert into {table} by name select * from incoming")
        finally:
            self.connection.unregister("incoming")

    def load(self, table: str, rows: pa.Table) -> None:
        """Create `table` with exactly `rows`; it must not exist."""
        self.connection.register("incoming", rows)
        try:
            self.create_as(table, "select * from incoming")
        finally:
            self.connection.unregister("incoming")

    def upsert(self, table: str, key: str, rows: pa.Table) -> None:
        """Add `rows` to `table` in place of those with the same `key`. Call it in a transaction."""
        self.connection.register("incoming", rows)
        try:
            self.execute(f"delete from {table} where {key} in (select {key} from incoming)")
            self.execute(f"insert into {table} by name select * from incoming")
        finally:
            self.connection.unregister("incoming")

    def create_as(self, table: str, query: str, *, temporary: bool = False) -> None:
        if not temporary:
            self.execute(f"create schema if not exists {table.partition('.')[0]}")
        self.execute(f"create {'temp ' if temporary else ''}table {table} as {query}")

    def drop(self, table: str) -> None:
        self.execute(f"drop table if exists {table}")

    def swap(self, new: str, table: str) -> None:
        """Let `new` (a table of the same schema) take the place of `table`."""
        self.drop(table)
        self.execute(f"alter table {new} rename to {table.partition('.')[2]}")


@contextmanager
def open_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The warehouse, held for writing; raises Retryable naming the holder while another process has it."""
    path = _path(settings)
    with writer_lock(_lock_path(path), settings.lock_timeout):
        warehouse = Warehouse.connect(path, settings)
        try:
            yield warehouse
        except _OUT_OF_ROOM as error:
            raise Retryable(
                f"The warehouse {path} cannot go on: {str(error).splitlines()[0]} Nothing of the step that failed was "
                "kept. Free disk space, or raise PERENNIAL_MEMORY_LIMIT, and run it again."
            ) from error
        finally:
            warehouse.close()


def _path(settings: Settings) -> Path:
    scheme, _, path = settings.warehouse_url.partition(":///")
    if scheme != "duckdb" or not path:  # the rest of another URL may hold a password: it is not repeated
        raise BadConfig("PERENNIAL_WAREHOUSE must name a DuckDB file, as duckdb:///<path>.")
    return Path(path)


def _lock_path(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".lock")


def exchange(new: Path, settings: Settings) -> None:
    """Let the warehouse file `new`, closed and complete, take the place of the present one."""
    path = _path(settings)
    with writer_lock(_lock_path(path), settings.lock_timeout):
        path.with_name(path.name + ".wal").unlink(
            missing_ok=True
        )  # the old file's; it must not be replayed into the new one
        new.replace(path)
