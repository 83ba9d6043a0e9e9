"""
The ledger's schema: made and raised by Alembic, checked on every opening.

An empty database becomes a ledger when it is first opened. A ledger of an older schema is raised when it is opened if
it is a SQLite file: one host, one Perennial. On a server only `perennial migrate` raises it: other hosts may still
run the older Perennial, which would be shut out at once, so a person says when.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, select, text
from uuid6 import uuid7

from perennial.foundation.errors import BadConfig, Permanent
from perennial.foundation.settings import Settings
from perennial.ledger.mark import Mark, raise_mark, read_mark
from perennial.ledger.store import connect, name_of, plain_errors
from perennial.ledger.tables import ledger_state

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0009"  # the newest revision in migrations/versions
_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x9E7E27E1  # any number of our own


def migrate(settings: Settings) -> tuple[str | None, str]:
    """
    Bring the ledger to this version's schema; what it holds is kept. Safe beside others that do the same.

    Returns the revision it had (None: it was empty) and the one it has. Raises BadConfig for a ledger written by a
    newer version, Permanent for a database that is no ledger, Retryable while it cannot be reached.
    """
    engine = connect(settings)
    try:
        return _raise_schema(engine, settings), HEAD
    finally:
        engine.dispose()


def ensure_schema(engine: Engine, settings: Settings) -> None:
    """See that the schema is this version's, which costs one small query when it is."""
    with plain_errors(engine), engine.connect() as connection:
        found = _revision_of(connection, engine)
    if found == HEAD:
        return
    if found is not None and engine.dialect.name != "sqlite":
        raise BadConfig(
            f"Ledger {name_of(engine)} has schema {found}, this Perennial needs {HEAD}: stop what still runs with "
            "the older Perennial, then run `perennial migrate`, which keeps what it holds."
        )
    _raise_schema(engine, settings)


def _raise_schema(engine: Engine, settings: Settings) -> str | None:
    """All in one transaction, one process at a time; returns the revision found."""
    settings.home.mkdir(parents=True, exist_ok=True)
    born = None
    with plain_errors(engine), engine.execution_options(writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        found = _revision_of(connection, engine)
        if found != HEAD:
            _upgrade(connection)
            born = _give_birth(connection, settings)
    if born:
        raise_mark(settings.home / "ledger.mark", born)
    return found


def _revision_of(connection: Connection, engine: Engine) -> str | None:
    tables = set(inspect(connection).get_table_names())
    if not {"alembic_version", "ledger_state"} <= tables:
        if tables:
            raise Permanent(
                f"{name_of(engine)} is not a ledger: it holds other tables ({', '.join(sorted(tables)[:3])}). "
                "Give the ledger a database of its own (PERENNIAL_LEDGER)."
            )
        return None
    revision: str | None = connection.scalar(text("select version_num from alembic_version"))
    if revision not in _known_revisions():
        raise BadConfig(
            f"Ledger {name_of(engine)} has schema {revision}, this Perennial knows schemas up to {HEAD}: it was "
            "written by a newer version. Update Perennial, or point PERENNIAL_LEDGER to another ledger."
        )
    return revision


def _known_revisions() -> set[str]:
    return {path.stem.split("_", maxsplit=1)[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")}


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(_alembic(connection), "head")


def _alembic(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _give_birth(connection: Connection, settings: Settings) -> Mark | None:
    """
    Give a new ledger its identity.

    Where a mark of another ledger exists, the new one is behind it: a deleted ledger is an old ledger.
    """
    if connection.scalar(select(ledger_state.c.ledger_id)) is not None:
        return None
    born = Mark(str(uuid7()), 1)
    connection.execute(ledger_state.insert().values(ledger_id=born.ledger_id, revision=born.revision))
    return born if read_mark(settings.home / "ledger.mark") is None else None
