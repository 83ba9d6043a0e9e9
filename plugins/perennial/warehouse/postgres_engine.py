"""
The server engine: a database of a PostgreSQL server, for many processes and for BI tools that connect to it.

Rows come and go by COPY in CSV, which Arrow reads and writes fully typed. One writer at a time holds an advisory lock,
which the server gives back when the writer dies.
"""

import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from typing import Self

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql as composing
from psycopg.conninfo import conninfo_to_dict

from perennial.foundation.errors import BadConfig, Retryable
from perennial.foundation.settings import Settings
from perennial.warehouse.engine import ARROW_TYPES, Warehouse

_LOCK = 0x7065_7265_6E6E_6961  # "perennia": the advisory lock of whoever writes this database
_SESSION = {
    "timezone": "UTC",
    "search_path": "macros",
    "client_min_messages": "warning",
    "jit": "off",  # compiling costs more than it gives for statements of this size
    "synchronous_commit": "off",  # a crash may lose the newest steps, never half of one: they run again
    "client_connection_check_interval": "1s",  # a killed writer's statement ends, and with it the lock
    "lock_timeout": "60s",  # a reader who keeps a table open
    "work_mem": "256MB",
    "maintenance_work_mem": "256MB",
}
_MACROS = (
    "create schema if not exists macros",
    """
    create or replace function macros.bucket(txt text, buckets bigint) returns bigint
    language sql immutable strict parallel safe
    return ('x' || substr(md5(txt), 1, 8))::bit(32)::bigint % buckets
    """,
    """
    create or replace function macros.address_hash(address text) returns text
    language sql immutable strict parallel safe
    return encode(sha256(convert_to(lower(trim(address)), 'UTF8')), 'hex')
    """,
    """
    create or replace function macros.money_per(amount numeric, items bigint) returns numeric
    language sql immutable strict parallel safe
    return round(amount / nullif(items, 0), 2)
    """,
)
_OUR_TYPES = {
    "double precision": "double",
    "timestamp with time zone": "timestamptz",
    "character varying": "text",
    "varchar": "text",
}
_TYPE_OF_OID = {
    16: "boolean", 20: "bigint", 23: "integer", 25: "text", 701: "double", 1043: "text", 1082: "date",
    1184: "timestamptz",
}  # fmt: skip
_NUMERIC = 1700
_CHUNK = 8 << 20  # bytes of CSV that become one batch
_BLOCK = 1 << 20  # of them that one thread reads
_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*)")


class PostgresWarehouse(Warehouse):
    """A session that holds the database's writer lock. Use `open_warehouse`."""

    dialect = "postgres"
    is_shared = True

    def __init__(self, connection: psycopg.Connection, url: str, hands: int) -> None:
        super().__init__(hands)
        self._connection = connection
        self._url = url

    @classmethod
    @contextmanager
    def open(cls, url: str, settings: Settings) -> Iterator[Self]:
        """Hold the database for writing; raises Retryable naming the holder while another process has it."""
        with _plain_errors(url), _connect(url) as connection:
            _wait_for_lock(connection, url, settings.lock_timeout)
            for macro in _MACROS:
                connection.execute(macro)
            yield cls(connection, url, settings.warehouse_connections)

    @contextmanager
    def beside(self) -> Iterator[Self]:
        with _connect(self._url) as connection:
            # What others touch meanwhile must not come into view between two statements of one build.
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield type(self)(connection, self._url, hands=1)

    def close(self) -> None:
        self._connection.close()

    def _transaction(self) -> AbstractContextManager[object]:
        return self._connection.transaction()

    def execute(self, sql: str, **parameters: object) -> None:
        self._connection.execute(self._bound(sql, parameters))

    def value(self, sql: str, **parameters: object) -> object:
        row = self._connection.execute(self._bound(sql, parameters)).fetchone()
        return row[0] if row else None

    @contextmanager
    def stream(self, sql: str, **parameters: object) -> Iterator[pa.RecordBatchReader]:
        statement = self._bound(sql, parameters)
        schema = self._schema(statement)
        with (
            self._connection.cursor() as cursor,
            cursor.copy(b"copy (" + statement + b") to stdout (format csv)") as copy,
        ):
            yield pa.RecordBatchReader.from_batches(schema, _batches(copy, schema))
            for _ in copy:  # what the reader left
                pass

    def columns(self, table: str) -> dict[str, str]:
        rows = self._connection.execute(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum",
            (table,),
        ).fetchall()
        return {column: _our_type(kind) for column, kind in rows}

    def append(self, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        columns = ", ".join(rows.schema.names)
        batches = rows.to_batches(max_chunksize=65_536) if isinstance(rows, pa.Table) else rows
        options = pa_csv.WriteOptions(include_header=False)  # quotes all text, so that null and '' differ
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"copy {table} ({columns}) from stdin (format csv)") as copy,
        ):
            for batch in batches:
                sink = BytesIO()
                pa_csv.write_csv(batch, sink, options)
                copy.write(sink.getvalue())

    def type_name(self, kind: str) -> str:
        return "double precision" if kind == "double" else kind

    def tune(self, table: str, keys: Iterable[str]) -> None:
        known = self.tuned_by(table)
        for column in keys:
            if column not in known:
                self.execute(f"create index on {table} ({column})")
        self.execute(f"analyze {table}")

    def rows_at(self, table: str, column: str, keys: str) -> str:  # noqa: ARG002 - DuckDB needs the table
        """By the index that `tune` made."""
        return f"{column} in (select key from {keys})"

    def tables(self) -> list[str]:
        """Every table as schema.table; what others keep in the schema `public`, as the ledger does, left out."""
        rows = self._connection.execute(
            "select schemaname || '.' || tablename from pg_tables"
            " where schemaname !~ '^pg_' and schemaname not in ('information_schema', 'public') order by 1"
        ).fetchall()
        return [name for (name,) in rows]

    def tuned_by(self, table: str) -> list[str]:
        """The columns that `tune` was given for the table."""
        rows = self._connection.execute(
            "select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)"
            " where indrelid = to_regclass(%s) order by attnum",
            (table,),
        ).fetchall()
        return [name for (name,) in rows]

    def copy(self, other: Self, source: str, target: str) -> None:
        """Copy all rows of the other database's table `source` to `target`, which has the same columns."""
        with (
            other._connection.cursor() as reading,
            self._connection.cursor() as writing,
            reading.copy(f"copy {source} to stdout (format binary)") as rows,
            writing.copy(f"copy {target} from stdin (format binary)") as copy,
        ):
            for row in rows:
                copy.write(row)

    def _bound(self, sql: str, parameters: Mapping[str, object]) -> bytes:
        """The statement with its values written in, quoted by the driver: COPY takes no others."""

        def literal(match: re.Match[str]) -> str:
            return composing.Literal(parameters[match[1]]).as_string(self._connection)

        return _PARAMETER.sub(literal, sql).encode() if parameters else sql.encode()

    def _schema(self, statement: bytes) -> pa.Schema:
        """The columns of a SELECT, from the server's description of it."""
        server = self._connection.pgconn
        for described in (server.prepare(b"", statement), server.describe_prepared(b"")):
            if described.status != psycopg.pq.ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(described)
        return pa.schema(
            [
                ((described.fname(n) or b"").decode(), _arrow_type(described.ftype(n), described.fmod(n)))
                for n in range(described.nfields)
            ]
        )


@contextmanager
def _plain_errors(url: str) -> Iterator[None]:
    """What a server may do to any client, as Retryable; the URL without its password."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise Retryable(
            f"The warehouse {without_password(url)} cannot go on: {str(error).strip().splitlines()[0]} Nothing of the "
            "step that failed was kept; run it again when the server is well."
        ) from error


def without_password(url: str) -> str:
    """A PostgreSQL URL that may be shown."""
    parts = conninfo_to_dict(url)
    return f"{parts.get('dbname', '')} at {parts.get('host', 'localhost')}:{parts.get('port', 5432)}"


def _connect(url: str) -> psycopg.Connection:
    connection = psycopg.connect(
        url, autocommit=True, application_name=f"perennial, pid {os.getpid()} on {socket.gethostname()}"
    )
    connection.execute(
        "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) as given (name, value)",
        (list(_SESSION), list(_SESSION.values())),
    )
    row = connection.execute("select 'B' < 'a' and lower('É') = 'é'").fetchone()
    if row != (True,):
        connection.close()
        raise BadConfig(
            f"The database {without_password(url)} does not order text by code point, or knows no letters beyond "
            "ASCII; its results would differ from other engines'. Create it so: create database … template template0 "
            "encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8' (before PostgreSQL 17: lc_collate 'C' "
            "lc_ctype 'C.UTF-8')."
        )
    return connection


def _wait_for_lock(connection: psycopg.Connection, url: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        row = connection.execute("select pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        if row == (True,):
            return
        if time.monotonic() >= deadline:
            raise Retryable(
                f"The warehouse {without_password(url)} is being written by another process "
                f"({_holder(connection)}); waited {timeout:g} s. Let it finish, or raise PERENNIAL_LOCK_TIMEOUT."
            )
        time.sleep(0.05)


def _holder(connection: psycopg.Connection) -> str:
    row = connection.execute(
        "select application_name from pg_locks join pg_stat_activity using (pid)"
        " where locktype = 'advisory' and granted and objsubid = 1 and classid = %s and objid = %s"
        " and pg_locks.database = (select oid from pg_database where datname = current_database())",
        (_LOCK >> 32, _LOCK & 0xFFFF_FFFF),
    ).fetchone()
    return row[0] if row else "unknown"


def _our_type(kind: str) -> str:
    return _OUR_TYPES.get(kind, kind.replace("numeric", "decimal"))


def _arrow_type(oid: int, modifier: int) -> pa.DataType:
    if oid == _NUMERIC:
        if modifier < 0:
            raise TypeError("a decimal without precision and scale: cast it in the SELECT")
        return pa.decimal128((modifier - 4) >> 16, (modifier - 4) & 0x7FF)
    return ARROW_TYPES[_TYPE_OF_OID[oid]]


def _batches(copy: psycopg.Copy, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """CSV as the server sends it, a row a message, in batches."""
    rows: list[bytes | bytearray | memoryview] = []
    size = 0
    for row in copy:
        rows.append(row)
        size += len(row)
        if size >= _CHUNK:
            yield from _parsed(rows, schema)
            rows, size = [], 0
    if rows:
        yield from _parsed(rows, schema)


def _parsed(rows: Sequence[bytes | bytearray | memoryview], schema: pa.Schema) -> list[pa.RecordBatch]:
    block = max(_BLOCK, *map(len, rows))  # a row must fit
    table = pa_csv.read_csv(
        BytesIO(b"".join(rows)),
        pa_csv.ReadOptions(column_names=schema.names, block_size=block),
        pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pa_csv.ConvertOptions(
            column_types=schema,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,  # null is nothing, '' is ""
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
        ),
    )
    batches: list[pa.RecordBatch] = table.to_batches()
    return batches
