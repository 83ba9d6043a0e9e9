"""The ledger's connection: short transactions, one revision per commit, the check against the high-water mark."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError
from uuid6 import uuid7

from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.foundation.settings import Settings
from perennial.ledger.mark import Mark, raise_mark, read_mark
from perennial.ledger.tables import audit_log, ledger_state

_BUSY_SECONDS = 30
Row = dict[str, Any]


def connect(settings: Settings) -> Engine:
    """
    An engine for the ledger's URL. SQLite gets WAL, foreign keys, a busy timeout and full synchronisation.

    Raises BadConfig for a URL that is neither SQLite nor PostgreSQL.
    """
    try:
        url = make_url(settings.ledger_url)
    except ArgumentError as error:
        raise BadConfig("PERENNIAL_LEDGER is not a database URL such as sqlite:////path/ledger.sqlite.") from error
    name = url.get_backend_name()
    if name not in ("sqlite", "postgresql"):
        raise BadConfig(f"PERENNIAL_LEDGER: the ledger runs on sqlite or postgresql, not on {name!r}.")
    if name == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        engine = create_engine(url, hide_parameters=True)  # parameters hold addresses: keep them out of errors
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise BadConfig(f"PERENNIAL_LEDGER: the driver of {url.drivername!r} is not installed.") from error
    if name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours, below
    for pragma in (f"busy_timeout={_BUSY_SECONDS * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"pragma {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading a read later could only fail.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("begin immediate" if writes else "begin")


@contextmanager
def plain_errors(engine: Engine) -> Iterator[None]:
    """The database's errors as ours, without parameters or password."""
    try:
        yield
    except OperationalError as error:
        raise Retryable(f"Ledger {engine.url!r} cannot be used right now: {error.orig}") from error
    except DatabaseError as error:
        if "not a database" in str(error.orig):
            raise Permanent(
                f"Ledger {engine.url!r} is not a ledger: {error.orig}. Put the newest backup in its place."
            ) from error
        raise


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
                yield connection
                mark = self._advance(connection, newest=newest)
            if mark:
                raise_mark(self._mark_path, mark)

    def _advance(self, connection: Connection, *, newest: bool) -> Mark | None:
        """Raise the revision, last in the transaction: on PostgreSQL the row is locked until the commit."""
        state = connection.execute(select(ledger_state).with_for_update()).one()
        if _is_behind(self._readable_mark(), state.ledger_id, state.revision):
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
        with self._reading() as connection:
            state = connection.execute(select(ledger_state)).one()
        return _is_behind(self._readable_mark(), state.ledger_id, state.revision)

    def require_newest(self) -> None:
        """Raise Permanent when an old ledger was put back."""
        if self.is_behind:
            raise self._behind()

    def _behind(self) -> Permanent:
        return Permanent(
            f"The ledger {self._engine.url!r} is older than its mark {self._mark_path}: an old copy was put back, and "
            "it has forgotten what it sent. Put the newest ledger in place, or run `perennial ledger reconcile "
            "--by <your name>` to go on with this one; until then nothing is queued or sent."
        )

    def _now(self) -> datetime:
        return current_time(self._settings)

    def _audit(self, connection: Connection, action: str, subject: str, actor: str, **details: object) -> None:
        row = {"audit_id": str(uuid7()), "at": self._now(), "actor": actor, "action": action, "subject": subject}
        connection.execute(audit_log.insert().values(**row, details=details))


def _is_behind(mark: Mark | None, ledger_id: str, revision: int) -> bool:
    return mark is not None and (mark.ledger_id != ledger_id or mark.revision > revision)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Insert the rows whose unique keys are all new; returns the (first) primary key of those."""
    if not rows:
        return []
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(table).on_conflict_do_nothing().returning(next(iter(table.primary_key.columns)))
    return list(connection.scalars(statement, rows))
