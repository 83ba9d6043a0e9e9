import sqlite3
from contextlib import closing
from multiprocessing import get_context

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from outbox import settings_in
from perennial.foundation.errors import BadConfig, Permanent
from perennial.ledger import migrate, open_ledger, schema
from perennial.ledger.schema import HEAD, _known_revisions
from perennial.ledger.store import connect
from perennial.ledger.tables import metadata


def _execute(settings, statement):
    """The statement run as any other program would run it; returns what it selects."""
    engine = connect(settings)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            found = connection.execute(text(statement))
            return found.all() if found.returns_rows else []
    finally:
        engine.dispose()


def test_an_empty_database_becomes_a_ledger_on_opening(settings):
    with open_ledger(settings) as ledger:
        assert ledger.counts_by_state() == {}
        assert not ledger.is_behind
    assert (settings.ledger_dir / "ledger.sqlite").is_file() == (settings.ledger is None)


def test_migrations_make_exactly_the_tables_the_code_sees(settings):
    assert migrate(settings) == (None, HEAD)
    assert max(_known_revisions()) == HEAD
    engine = connect(settings)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(settings):
    migrate(settings)
    before = _execute(settings, "select * from ledger_state")
    assert migrate(settings) == (HEAD, HEAD)
    assert _execute(settings, "select * from ledger_state") == before


def test_a_migration_that_fails_leaves_the_database_as_it_was(settings, monkeypatch):
    def fail(*_args):
        raise OSError("killed half-way")

    with monkeypatch.context() as patched:
        patched.setattr(schema, "_give_birth", fail)
        with pytest.raises(OSError, match="killed half-way"):
            migrate(settings)
    assert not (settings.home / "ledger.mark").exists()
    assert migrate(settings) == (None, HEAD)


@pytest.mark.parametrize("command", [migrate, lambda settings: open_ledger(settings).__enter__()])
def test_a_ledger_of_a_newer_version_is_refused(settings, command):
    migrate(settings)
    _execute(settings, "update alembic_version set version_num = '9999'")
    with pytest.raises(BadConfig, match=r"schema 9999.*newer version"):
        command(settings)
    assert _execute(settings, "select version_num from alembic_version") == [("9999",)]


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "ledger" / "ledger.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"not a database at all, " * 100)
    with pytest.raises(Permanent, match="is not a ledger"), open_ledger(settings_in(tmp_path)):
        pass
    assert path.read_bytes() == b"not a database at all, " * 100


def test_a_file_cut_short_is_refused_by_every_way_in(tmp_path):
    settings = settings_in(tmp_path)
    migrate(settings)
    file = settings.ledger_dir / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    file.write_bytes(file.read_bytes()[:6000])
    for command in (migrate, lambda settings: open_ledger(settings).__enter__()):
        with pytest.raises(Permanent, match="malformed"):
            command(settings)


@pytest.mark.parametrize("table", ["cats", "alembic_version"])
def test_another_programs_database_is_refused(settings, table):
    (settings.home / "ledger").mkdir()
    _execute(settings, f"create table {table} (version_num text)")
    with pytest.raises(Permanent, match=rf"other tables \({table}\)"), open_ledger(settings):
        pass


@pytest.mark.slow
def test_processes_that_open_a_new_ledger_at_once_make_one(settings):
    with get_context("spawn").Pool(3) as pool:
        found = pool.map(migrate, [settings] * 3)
        pool.close()
        pool.join()
    assert sorted(found, key=str) == [(HEAD, HEAD), (HEAD, HEAD), (None, HEAD)]
    assert len(_execute(settings, "select * from ledger_state")) == 1
    with open_ledger(settings) as ledger:
        assert not ledger.is_behind
