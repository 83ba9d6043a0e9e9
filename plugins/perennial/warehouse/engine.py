"""
What an engine does, whichever it is.

Statements are written once, in the part of SQL that DuckDB and PostgreSQL read alike: text, bigint, double, decimal,
timestamptz, date and boolean columns, tables with their schema, `$name` for values. Models go through SQLGlot
(`compose`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

import pyarrow as pa

# Our names of column types -> Arrow's; decimal(p, s) beside them.
ARROW_TYPES = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "boolean": pa.bool_(),
}
_OUR_TYPES = {arrow: ours for ours, arrow in ARROW_TYPES.items()}


def type_of(arrow: pa.DataType) -> str:
    """Our name of an Arrow type."""
    return f"decimal({arrow.precision},{arrow.scale})" if pa.types.is_decimal(arrow) else _OUR_TYPES[arrow]


class Warehouse(ABC):
    """A connection to the warehouse, of which there is one writer at a time: `open_warehouse`."""

    dialect: ClassVar[str]  # SQLGlot's name of it
    is_shared: ClassVar[bool]  # whether BI tools may connect to it

    def __init__(self, hands: int) -> None:
        self.hands = hands  # how many tables it makes at once
        self._in_transaction = False

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[object]: ...

    @abstractmethod
    def execute(self, sql: str, **parameters: object) -> None:
        """Run one statement; `$name` in it is bound to the parameter of that name."""

    @abstractmethod
    def value(self, sql: str, **parameters: object) -> object:
        """The first column of the first row, None where there is no row."""

    @abstractmethod
    def stream(self, sql: str, **parameters: object) -> AbstractContextManager[pa.RecordBatchReader]:
        """The rows of one SELECT, a batch at a time; decimals have the scale they are declared with."""

    @abstractmethod
    def tables(self) -> list[str]:
        """Every table as schema.table."""

    @abstractmethod
    def columns(self, table: str) -> dict[str, str]:
        """Column name -> type by our names, in order; empty where there is no such table."""

    @abstractmethod
    def append(self, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Add `rows` to `table`, matched by column name."""

    @abstractmethod
    def tune(self, table: str, keys: Iterable[str]) -> None:
        """Make `table`, of which much has changed, quick to read by `keys`, where the engine wants to be told."""

    @abstractmethod
    def rows_at(self, table: str, column: str, keys: str) -> str:
        """A condition for the rows of `table` whose `column` is a `key` of the table `keys`, until either changes."""

    @abstractmethod
    def beside(self) -> AbstractContextManager["Warehouse"]:
        """What another thread of the same writer may use; `hands` of them at once."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        if self._in_transaction:
            raise RuntimeError("transactions do not nest")
        self._in_transaction = True
        try:
            with self._transaction():
                yield
        finally:
            self._in_transaction = False

    def query(self, sql: str, **parameters: object) -> pa.Table:
        """The rows of one SELECT."""
        with self.stream(sql, **parameters) as reader:
            return reader.read_all()

    def count(self, sql: str, **parameters: object) -> int:
        """`value` of a SELECT that counts."""
        return int(str(self.value(sql, **parameters)))

    def has(self, table: str) -> bool:
        return bool(self.columns(table))

    def create(self, table: str, columns: Mapping[str, str]) -> None:
        """Create `table` if it is missing, and add the columns it lacks. Nothing is ever dropped or retyped."""
        existing = self.columns(table)
        if not existing:
            self.execute(f"create schema if not exists {table.partition('.')[0]}")
            self.execute(f"create table {table} ({self._columns(columns)})")
        for column, kind in columns.items():
            if existing and column not in existing:
                self.execute(f"alter table {table} add column {column} {self.type_name(kind)}")

    def type_name(self, kind: str) -> str:
        """The engine's name of a column type."""
        return kind

    def load(self, table: str, rows: pa.Table, *, temporary: bool = False) -> None:
        """
        Create `table` with exactly `rows`; it must not exist.

        Its columns are declared: made of an empty SELECT and filled in the same transaction, DuckDB 2.0.0 believes them
        to be null from 122,880 rows on.
        """
        columns = {field.name: type_of(field.type) for field in rows.schema}
        if temporary:
            self.execute(f"create temp table {table} ({self._columns(columns)})")
        else:
            self.create(table, columns)
        self.append(table, rows)

    def upsert(self, table: str, key: str, rows: pa.Table) -> None:
        """Add `rows` to `table` in place of those with the same `key`. Call it in a transaction."""
        self.execute("drop table if exists incoming_rows")
        self.load("incoming_rows", rows, temporary=True)
        self.execute(f"delete from {table} where {key} in (select {key} from incoming_rows)")
        self.insert(table, "incoming_rows", rows.schema.names)
        self.drop("incoming_rows")

    def _columns(self, columns: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {self.type_name(kind)}" for name, kind in columns.items())

    def insert(self, table: str, source: str, columns: Iterable[str]) -> None:
        """Add the rows of the table `source`, matched by column name."""
        names = ", ".join(columns)
        self.execute(f"insert into {table} ({names}) select {names} from {source}")

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
