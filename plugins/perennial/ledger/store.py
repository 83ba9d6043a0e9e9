"""
The ledger's connection: short transactions, one revision per commit, the check against the high-water mark.

Writers go one after the other on both engines: SQLite has one write lock, on PostgreSQL each takes the row of
`ledger_state` before anything else. So no two can deadlock, and what one reads no other is changing.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ARRAY, ColumnElement, Connection, Engine, Table, bindparam, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from uuid6 import uuid7

from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.foundation.settings import Settings
from perennial.ledger.mark import Mark, raise_mark, read_mark
from perennial.ledger.tables import audit_log, ledger_state

_BUSY_SECONDS = 30  # how long a writer waits for another
_IDLE_SECONDS = 60  # after which PostgreSQL ends the session of a writer that hangs, and with it its lock
# What PostgreSQL calls passing: connection, read-only (a failover), idle too long, rollback, resources, locks,
# shutdown, system.
_PASSING = ("08", "25006", "25P03", "40", "53", "55", "57", "58")
# With a host that is gone without a word: by itself libpq waits for minutes, and for hours on an open connection.
_PATIENCE = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10}
_AT_ONCE = 1_000  # values of one `in (…)`
Row = dict[str, Any]
T = TypeVar("T")


def connect(settings: Settings) -> Engine:
    """
    An engine for the ledger's URL. SQLite gets WAL, foreign keys, a busy timeout and full synchronisation.

    Use it in the process that made it. Raises BadConfig for a URL that is neither SQLite nor PostgreSQL.
    """
    url = _url(settings)
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        # Parameters hold addresses: keep them out of errors. A server may have ended an idle session: ask first.
        engine = create_engine(
            url, hide_parameters=True, json_serializer=_to_json, pool_pre_ping=backend == "postgresql"
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise BadConfig(f"PERENNIAL_LEDGER: the driver of {url.drivername!r} is not installed.") from error
    if backend == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "do_connect", _patience_with_postgresql)
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _url(settings: Settings) -> URL:
    # What is wrong with it may be its password: nothing of it is repeated, nor kept as the cause.
    try:
        url = make_url(settings.ledger_url)
    except (ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):
        raise BadConfig(
            "PERENNIAL_LEDGER is not a database URL such as sqlite:////path/ledger.sqlite or "
            "postgresql://user:password@host/database. Percent-encode what is special in a password: @ is %40, "
            "/ is %2F."
        ) from None
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise BadConfig(f"PERENNIAL_LEDGER: the ledger runs on sqlite or postgresql, not on {backend!r}.")
    return url


def name_of(engine: Engine) -> str:
    """The ledger's URL as errors may show it: without user, password and options."""
    url = engine.url
    return URL.create(url.get_backend_name(), None, None, url.host, url.port, url.database).render_as_string()


def _to_json(value: object) -> str:
    # PostgreSQL knows no NaN and no infinity in JSON: they become null, on SQLite too.
    text = json.dumps(value)
    if "NaN" in text or "Infinity" in text:
        text = json.dumps(json.loads(text, parse_constant=lambda _name: None))
    return text


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours, below
    for pragma in (f"busy_timeout={_BUSY_SECONDS * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"pragma {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading a read later could only fail.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("begin immediate" if writes else "begin")


def _patience_with_postgresql(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    for name, seconds in _PATIENCE.items():
        options.setdefault(name, seconds)


def _begin_postgresql(connection: Connection) -> None:
    # Whatever the server's defaults are: nobody waits for ever, and what is committed is on the disk.
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql(
            f"select set_config('lock_timeout', '{_BUSY_SECONDS}s', true), "
            f"set_config('idle_in_transaction_session_timeout', '{_IDLE_SECONDS}s', true), "
            "set_config('synchronous_commit', 'on', true)"
        )


@contextmanager
def plain_errors(engine: Engine) -> Iterator[None]:
    """The database's errors as ours, without parameters, rows, user or password."""
    try:
        yield
    except NoConnectionFree as error:
        raise Retryable(f"Ledger {name_of(engine)} cannot be used right now: too much is asked of it.") from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        diagnosis = getattr(error.orig, "diag", None)
        said = " ".join(((diagnosis and diagnosis.message_primary) or str(error.orig)).split())
        lost = isinstance(error, OperationalError) or error.connection_invalidated
        if state.startswith(_PASSING) if state else lost:
            raise Retryable(f"Ledger {name_of(engine)} cannot be used right now: {said}") from error
        if "not a database" in said:
            raise Permanent(
                f"Ledger {name_of(engine)} is not a ledger: {said}. Put the newest backup in its place."
            ) from error
        # The cause is left out: PostgreSQL's quotes the row, address and all.
        raise Permanent(f"Ledger {name_of(engine)} refuses this: {said}.") from None


class Store:
    """What the parts of the ledger share: reading, writing, and knowing whether this is the newest ledger."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._mark_path = settings.home / "ledger.mark"

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with plain_errors(self._engine), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self, *, newest: bool = False) -> Iterator[Connection]:
        """
        One write transaction; the mark follows its commit.

        With `newest` it is refused (Permanent) on a ledger behind its mark. Other writes, such as an unsubscribe,
        go in, but leave the revision alone, so that the ledger stays behind until it is reconciled.
        """
        with plain_errors(self._engine):
            with self._engine.execution_options(writes=True).begin() as connection:
                mark = self._advance(connection, newest=newest)
                yield connection
            if mark:
                raise_mark(self._mark_path, mark)

    def _advance(self, connection: Connection, *, newest: bool) -> Mark | None:
        """Raise the revision, first in the transaction: on PostgreSQL the row is locked until the commit."""
        state = connection.execute(select(ledger_state).with_for_update()).one()
        if lags(self._readable_mark(), state.ledger_id, state.revision):
            if newest:
                raise self._behind()
            return None
        connection.execute(ledger_state.update().values(revision=state.revision + 1))
        return Mark(state.ledger_id, state.revision + 1)

    def _readable_mark(self) -> Mark | None:
        # A broken mark is no reason to lose an unsubscribe: like the mark of another ledger it blocks sending only.
        try:
            return read_mark(self._mark_path)
        except Permanent:
            return Mark("", 0)

    @property
    def is_behind(self) -> bool:
        """Whether an older ledger was put back: queueing and delivery are refused until `reconcile`."""
        mark = self._readable_mark()  # before the revision: another may raise both in between
        with self._reading() as connection:
            state = connection.execute(select(ledger_state)).one()
        return lags(mark, state.ledger_id, state.revision)

    def require_newest(self) -> None:
        """Raise Permanent when an old ledger was put back."""
        if self.is_behind:
            raise self._behind()

    def _behind(self) -> Permanent:
        return Permanent(
            f"The ledger {name_of(self._engine)} is older than its mark {self._mark_path}: an old copy was put back, "
            "and it has forgotten what it sent. Put the newest ledger in place, or run `perennial ledger reconcile "
            "--by <your name>` to go on with this one; until then nothing is queued or sent."
        )

    def _now(self) -> datetime:
        return current_time(self._settings)

    def _audit(self, connection: Connection, action: str, subject: str, actor: str, **details: object) -> None:
        row = {"audit_id": str(uuid7()), "at": self._now(), "actor": actor, "action": action, "subject": subject}
        connection.execute(audit_log.insert().values(**row, details=details))


def lags(mark: Mark | None, ledger_id: str, revision: int) -> bool:
    """Whether a ledger of that id and revision is older than its mark, or another one than the mark's."""
    return mark is not None and (mark.ledger_id != ledger_id or mark.revision > revision)


def batched(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """`values` in pieces that fit into one statement."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def among(connection: Connection, column: ColumnElement[str], values: Collection[str]) -> ColumnElement[bool]:
    """Whether the column is one of the values; on PostgreSQL one array, because a thousand parameters cost."""
    if connection.dialect.name == "sqlite":
        return column.in_(values)
    return column == func.any(bindparam(None, list(values), ARRAY(column.type)))


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Insert the rows whose unique keys are all new; returns the (first) primary key of those."""
    if not rows:
        return []
    key = next(iter(table.primary_key.columns))
    if connection.dialect.name == "sqlite":
        return list(connection.scalars(sqlite.insert(table).on_conflict_do_nothing().returning(key), rows))
    # A column is one array: a parameter for each value would take most of the time, here and on the server.
    columns = [table.c[name] for name in rows[0]]
    arrays = [bindparam(None, [row[column.name] for row in rows], ARRAY(column.type)) for column in columns]
    given = func.unnest(*arrays).table_valued(*(column.name for column in columns)).render_derived()
    insert = postgresql.insert(table).from_select([column.name for column in columns], select(given))
    return list(connection.scalars(insert.on_conflict_do_nothing().returning(key)))
