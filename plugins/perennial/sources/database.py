"""
Rows of databases, by SQLAlchemy URL or joined from files: what is new since the last pull, as one file of JSON Lines.

Where a pull starts is read from the last one that landed; there is no other state. That one ends with the greatest
cursor, and it holds every row from there back to the overlap as it was then: a pull whose lines it has all, in their
order, is nothing new.
"""

import gzip
import json
import logging
import math
import re
import zlib
from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from io import BufferedWriter
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Select, bindparam, column, create_engine, false, select, table, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, ProgrammingError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import NullType

from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig, BadData, Retryable
from perennial.foundation.settings import Settings
from perennial.sources.arrival import Arrival, Landed
from perennial.sources.connections import connection_url
from perennial.sources.definition import Database, Source
from perennial.sources.joined_files import connect_to_files, stamp_of_files

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 2_000
_MOMENT = "%Y-%m-%dT%H%M%S.%fZ"
_OVERLAP = timedelta(hours=1)
Rows = Select[Any]


def rows_of_database(
    source: Source, database: Database, landed: Mapping[str, Landed], settings: Settings
) -> Iterator[Arrival]:
    """
    At most one file: what is new since the last one in `landed`, in the order of cursor and key.

    Without a cursor it is the whole table, a new version of the same file, so that rows that are gone go. No rows are
    no file: a table is sooner emptied by mistake. Files are joined only if one has changed, and what changes meanwhile
    is left to the next time. Raises BadConfig for what cannot be pulled as the source file says, BadData for a row that
    cannot be read, Retryable when the database does not answer. Nothing is half taken.
    """
    file, at = f"database/{source.name}.jsonl.gz", None
    last = landed.get(file)
    if database.cursor:
        file, last, at = _next_file(source, landed, settings)
    stamp = stamp_of_files(source, database, settings) if database.files else None
    if database.files and (stamp is None or (last and last.etag == stamp)):
        return
    copy = settings.landing_dir / last.path if last and database.cursor else None
    pulled = settings.landing_dir / source.name / ".pulling"
    try:
        is_new = _pull(source, database, settings, copy, at, pulled, file)
        if database.files and stamp_of_files(source, database, settings) != stamp:
            log.warning("Source %s: its files are still being written; they are joined when complete.", source.name)
        elif is_new:
            yield Arrival.of(pulled, file, stamp)
    finally:
        pulled.unlink(missing_ok=True)


def _next_file(
    source: Source, landed: Mapping[str, Landed], settings: Settings
) -> tuple[str, Landed | None, datetime | None]:
    """Name of this pull, the last one and its moment: names grow, whatever the clock says (the demo's stands still)."""
    folder = f"database/{source.name}/"
    form = folder + _MOMENT + ".jsonl.gz"
    last = max((file for file in landed if file.startswith(folder)), default=None)
    moment, at = current_time(settings), None
    if last:
        at = datetime.strptime(last, form).replace(tzinfo=UTC)
        moment = max(moment, at + timedelta(microseconds=1))
    return moment.strftime(form), landed[last] if last else None, at


def _pull(
    source: Source,
    database: Database,
    settings: Settings,
    last: Path | None,
    at: datetime | None,
    target: Path,
    file: str,
) -> bool:
    """Write the rows to `target`; whether any of them is new."""
    start = _start(source, database, last, at)
    seen = _lines(last)
    is_new = False
    connect = connect_to_files if database.files else _connect
    try:
        with (
            connect(source, database, settings) as connection,
            target.open("wb") as plain,
            # The name in it tells a pull from an earlier one with the same rows: it is the newer truth, no duplicate.
            gzip.GzipFile(file, "wb", fileobj=plain, mtime=0) as packed,
            BufferedWriter(cast(Any, packed), 1 << 20) as writing,
        ):
            for line in _rows_as_lines(source, database, connection, start):
                writing.write(line)
                is_new = is_new or line not in seen  # goes on behind the line that was found
    except DBAPIError as error:
        # In its own words it may repeat a value of the row.
        what = f"Source {source.name}: its rows cannot all be read ({type(error.orig).__name__}), and none was taken"
        # A query over files that is right can only fail for what is in them.
        kinds = (DataError, ProgrammingError) if database.files else DataError
        if isinstance(error, kinds) and not error.connection_invalidated:
            raise BadData(f"{what}. Correct the row, or the query in {source.file}.") from None
        raise Retryable(f"{what}; the next time all are pulled.") from None
    except OSError as error:
        raise Retryable(f"Source {source.name}: its rows cannot be written to {target.parent}: {error}") from error
    return is_new


def _lines(path: Path | None) -> Iterator[bytes]:
    if path is None:
        return
    try:
        with gzip.open(path) as reading:
            yield from reading
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"{path} is gone or damaged ({error}). Restore the landing from its backup.") from error


def _start(source: Source, database: Database, last: Path | None, at: datetime | None) -> Any:
    """The cursor from which on rows are pulled, as the landing has it: a text that the engine reads as its own type."""
    newest = deque(_lines(last), maxlen=1)
    value = json.loads(newest[0]).get(database.cursor) if newest else None
    if value is None:
        return None
    field = f"{source.file}: field database"
    is_time = isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value)
    overlap = database.overlap if database.overlap is not None else _OVERLAP if is_time else 0
    if isinstance(overlap, timedelta) != bool(is_time):
        kind = "time: say a duration such as 1h" if is_time else "number: say a number"
        raise BadConfig(f"{field}.overlap: {overlap} does not suit, the cursor {database.cursor} is a {kind}.")
    try:
        if isinstance(overlap, timedelta):
            return _earlier(value, overlap, at, ZoneInfo(source.timezone))
        return (Decimal(value) if isinstance(value, str) else value) - overlap
    except (ValueError, TypeError, InvalidOperation, OverflowError):
        raise BadConfig(f"{field}.cursor: {database.cursor} is neither a time nor a number.") from None


def _earlier(written: str, overlap: timedelta, at: datetime | None, zone: ZoneInfo) -> str:
    """
    In the form it has: where the engine knows no times (SQLite), they are compared as text.

    No later than the last pull, `at`: one wrong date would hide all that comes.
    """
    if len(written) == len("2026-01-31"):
        day = date.fromisoformat(written)
        return ((min(day, at.astimezone(zone).date()) if at else day) - overlap).isoformat()
    moment = datetime.fromisoformat(written)
    if at and (moment if moment.tzinfo else moment.replace(tzinfo=zone)) > at:
        moment = at.astimezone(moment.tzinfo) if moment.tzinfo else at.astimezone(zone).replace(tzinfo=None)
    elif not overlap:
        return written
    return (moment - overlap).isoformat(sep=written[10])


def _rows_as_lines(source: Source, database: Database, connection: Connection, start: Any) -> Iterator[bytes]:
    rows = _rows(database)
    names = _columns(source, database, connection, rows)
    order: list[Any] = [column(name) for name in dict.fromkeys((*filter(None, [database.cursor]), *database.key))]
    statements = [rows.order_by(*order)]
    if database.cursor:
        cursor: Any = column(database.cursor)
        since = cursor.is_not(None) if start is None else cursor >= bindparam("start", start, NullType())
        # A row without a cursor cannot be told from one that was taken: it is pulled each time.
        statements = [rows.where(condition).order_by(*order) for condition in (cursor.is_(None), since)]
    for statement in statements:
        with connection.execute(statement, execution_options={"yield_per": _ROWS_AT_ONCE}) as result:
            for row in result:
                values = {name: _plain(value) for name, value in zip(names, row, strict=True)}
                yield json.dumps(values, ensure_ascii=False).encode() + b"\n"


def _rows(database: Database) -> Rows:
    if database.query:
        query = database.query.strip().rstrip(";").replace(":", "\\:")  # else a colon begins a parameter
        return select(text("*")).select_from(text(query).columns().subquery("pulled"))
    schema, _, name = str(database.table).rpartition(".")
    return select(text("*")).select_from(table(name, schema=schema or None))


def _columns(source: Source, database: Database, connection: Connection, rows: Rows) -> list[str]:
    """The names of the columns. Raises BadConfig: a statement that reads no row can only be wrong itself."""
    field = f"{source.file}: field database"
    try:
        with connection.execute(rows.where(false())) as nothing:
            names = list(nothing.keys())
    except DBAPIError as error:
        if error.connection_invalidated or "locked" in str(error.orig):
            raise
        kind = "query" if database.query else f"table: {database.table!r}"
        raise BadConfig(f"{field}.{kind} cannot be read: {_said(error, connection.engine.url)}") from None
    wanted = {"cursor": (database.cursor,) if database.cursor else (), "key": database.key}
    for what, columns in wanted.items():
        for name in columns:
            if name not in names:  # SQLite would take it for a text
                raise BadConfig(f"{field}.{what}: there is no column {name!r}. There are: {', '.join(names)}.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadConfig(f"{field}.query: there are two columns {', '.join(twice)}. Name them apart with `as`.")
    return names


def _connect(source: Source, database: Database, settings: Settings) -> Connection:
    """A connection that may only read, where the engine can say so. What it raises shows nothing of the URL."""
    field = f"{source.file}: field database.connection: {database.connection!r}"
    written = connection_url(field, str(database.connection), settings)
    try:
        url = make_url(written)
        if "@" in (url.host or ""):
            raise ArgumentError
    except (ArgumentError, ValueError):
        raise BadConfig(
            f"{field} has no URL such as postgresql://user:password@host/database. Percent-encode what is special in "
            "a password: @ is %40, / is %2F."
        ) from None
    try:
        # Parameters hold data: keep them out of errors.
        engine = create_engine(_read_only(url), poolclass=NullPool, hide_parameters=True)
        return engine.connect().execution_options(postgresql_readonly=True)
    except (NoSuchModuleError, ImportError):
        raise BadConfig(f"{field}: the driver of {url.drivername!r} is not installed.") from None
    except (ProgrammingError, ArgumentError, TypeError, ValueError) as error:
        raise BadConfig(f"{field} cannot be used: {_said(error, url)}") from None
    except DBAPIError as error:
        raise Retryable(f"Source {source.name}: {database.connection} cannot be reached: {_said(error, url)}") from None


def _read_only(url: URL) -> URL:
    """A SQLite file opened so that it is neither written nor made."""
    path = url.database
    if url.get_backend_name() != "sqlite" or not path or path.startswith((":", "file:")):
        return url
    return url.set(database=f"file:{quote(path)}").update_query_dict({"mode": "ro", "uri": "true"})


def _said(error: Exception, url: URL) -> str:
    """What the engine said, in one line and without a password."""
    said = " ".join(str(getattr(error, "orig", error)).split())
    hidden = [str(url.password or ""), *(str(value) for name, value in url.query.items() if "pass" in name.lower())]
    for secret in filter(None, hidden):
        said = said.replace(secret, "***")
    return said[:500]


def _plain(value: Any) -> Any:
    """A value as JSON has it, exactly: numbers that are no integers or doubles, times and bytes as text."""
    plain: Any
    match value:
        case None | str() | int():
            plain = value
        case float():
            plain = value if math.isfinite(value) else str(value)
        case Decimal():
            plain = format(value, "f")
        case datetime(tzinfo=zone) if zone:  # in UTC: the session's zone may change
            plain = value.astimezone(UTC).isoformat()
        case date() | time():
            plain = value.isoformat()
        case bytes() | bytearray() | memoryview():
            plain = b64encode(value).decode()
        case dict():
            plain = {str(name): _plain(part) for name, part in value.items()}
        case list() | tuple():
            plain = [_plain(part) for part in value]
        case _:  # UUIDs, intervals, addresses
            plain = str(value)
    return plain
