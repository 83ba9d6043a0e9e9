"""The ledger's schema: made and raised by Alembic, checked on every opening."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select, text
from uuid6 import uuid7

from perennial.foundation.errors import BadConfig, Permanent
from perennial.foundation.settings import Settings
from perennial.ledger.mark import Mark, raise_mark, read_mark
from perennial.ledger.store import connect, plain_errors
from perennial.ledger.tables import ledger_state

HEAD = "0001"  # the newest revision in migrations/versions
_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x9E7E27E1  # any number of our own


def migrate(settings: Settings) -> str:
    """
    Bring the ledger to this version's schema; safe beside others that do the same. Returns the revision.

    Raises BadConfig for a ledger written by a newer version, Permanent for a file that is no ledger.
    """
    engine = connect(settings)
    try:
        ensure_schema(engine, settings)
    finally:
        engine.dispose()
    return HEAD


def ensure_schema(engine: Engine, settings: Settings) -> None:
    """Migrate unless the schema is the newest already, which costs one small query to see."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with plain_errors(engine):
        with engine.connect() as connection:
            if _revision_of(connection, engine) == HEAD:
                return
        with engine.execution_options(writes=True).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            if _revision_of(connection, engine) == HEAD:
                return  # another process was quicker
            _upgrade(connection)
            born = _give_birth(connection, settings)
    if born:
        raise_mark(settings.home / "ledger.mark", born)


def _revision_of(connection: Connection, engine: Engine) -> str | None:
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables and engine.dialect.name == "sqlite":
            raise Permanent(f"{engine.url!r} is not a ledger: it holds other tables ({', '.join(sorted(tables)[:3])}).")
        return None
    revision: str | None = connection.scalar(text("select version_num from alembic_version"))
    if revision is not None and revision not in _known_revisions():
        raise BadConfig(
            f"Ledger {engine.url!r} has schema {revision}, this Perennial knows schemas up to {HEAD}: it was written "
            "by a newer version. Update Perennial, or point PERENNIAL_LEDGER to another ledger."
        )
    return revision


def _known_revisions() -> set[str]:
    return {path.stem.split("_", maxsplit=1)[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")}


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


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
