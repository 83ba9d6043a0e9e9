"""The embedded engine: one DuckDB file, one writing process."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa

from perennial.foundation.errors import Retryable
from perennial.foundation.settings import Settings
from perennial.warehouse.engine import Warehouse
from perennial.warehouse.lock import writer_lock

_MACROS = (
    # md5 and not the engine's own hash: the same bucket on every engine, for ever.
    "create or replace temp macro bucket(txt, buckets) as cast('0x' || substr(md5(txt), 1, 8) as bigint) % buckets",
    "create or replace temp macro address_hash(address) as sha256(lower(trim(address)))",
    # In whole cents, half a cent away from zero: a division of doubles would be a cent off now and then.
    """
    create or replace temp macro money_per(amount, items) as cast(
        sign(amount) * ((cast(abs(amount) * 200 as hugeint) + items) // nullif(2 * items, 0)) as decimal(18, 0)
    ) * 0.01
    """,
)
_OUR_TYPES = {"VARCHAR": "text", "TIMESTAMP WITH TIME ZONE": "timestamptz"}

# A disk or memory that is full; on commit DuckDB reports it as a failed transaction.
_OUT_OF_ROOM = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException, duckdb.FatalException)


class DuckDBWarehouse(Warehouse):
    """A DuckDB file, or memory. Use `open_warehouse`, which holds the writer lock meanwhile."""

    dialect = "duckdb"
    is_shared = False

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(hands=1)  # one statement keeps all cores busy
        self._connection = connection

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
        connection.execute("set preserve_insertion_order = false")  # a table has none: written by all cores
        for macro in _MACROS:
            connection.execute(macro)
        return cls(connection)

    @classmethod
    @contextmanager
    def open(cls, path: Path, settings: Settings) -> Iterator[Self]:
        """Hold the file for writing; raises Retryable naming the holder while another process has it."""
        with writer_lock(_lock_path(path), settings.lock_timeout):
            warehouse = cls.connect(path, settings)
            try:
                yield warehouse
            except _OUT_OF_ROOM as error:
                raise Retryable(
                    f"The warehouse {path} cannot go on: {str(error).splitlines()[0]} Nothing of the step that failed "
                    "was kept. Free disk space, or raise PERENNIAL_MEMORY_LIMIT, and run it again."
                ) from error
            finally:
                warehouse.close()

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.begin()
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):  # after some errors the engine has rolled back already
                self._connection.rollback()
            raise
        else:
            self._connection.commit()

    @contextmanager
    def stream(self, sql: str, **parameters: object) -> Iterator[pa.RecordBatchReader]:
        reader = self._connection.sql(sql, params=parameters or None).to_arrow_reader()
        try:
            yield reader
        finally:
            reader.close()  # an open result blocks the connection

    def value(self, sql: str, **parameters: object) -> object:
        rows = self._connection.execute(sql, parameters or None).fetchall()
        return rows[0][0] if rows else None

    def execute(self, sql: str, **parameters: object) -> None:
        self._connection.execute(sql, parameters or None)

    def tables(self) -> list[str]:
        rows = self._connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where not (internal or temporary) order by 1"
        ).fetchall()
        return [str(name) for (name,) in rows]

    def columns(self, table: str) -> dict[str, str]:
        try:
            found = self._connection.table(table)  # a tenth of what asking information_schema takes
        except duckdb.CatalogException:
            return {}
        kinds = ((column, str(kind)) for column, kind in zip(found.columns, found.types, strict=True))
        return {column: _OUR_TYPES.get(kind, kind.lower()) for column, kind in kinds}

    def append(self, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        self._connection.register("incoming", rows)
        try:
            self.insert(table, "incoming", rows.schema.names)
        finally:
            self._connection.unregister("incoming")

    def tune(self, table: str, keys: Iterable[str]) -> None:
        """Nothing to do: DuckDB keeps the bounds of each column's blocks by itself."""

    def rows_at(self, table: str, column: str, keys: str) -> str:
        """
        By row numbers, found in the one column and kept: a join would read all columns of all rows.

        Of thirty million rows, fifty thousand that lie together are read in a fourth of the time.
        """
        found = f"rows_of_{table.replace('.', '_')}"
        rows = f"select rowid as id from {table} where {column} in (select key from {keys})"
        self.execute(f"create or replace temp table {found} as {rows}")
        return f"rowid in (select id from {found})"

    @contextmanager
    def beside(self) -> Iterator[Self]:
        yield self


def exchange(new: Path, path: Path, settings: Settings) -> None:
    """Let the warehouse file `new`, closed and complete, take the place of the one at `path`."""
    with writer_lock(_lock_path(path), settings.lock_timeout):
        path.with_name(path.name + ".wal").unlink(missing_ok=True)  # the old file's; not to be replayed into the new
        new.replace(path)


def _lock_path(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".lock")
