import sqlite3
from contextlib import closing
from multiprocessing import get_context

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from outbox import settings_in
from perennial.foundation.errors import BadConfig, Permanent
from perennial.ledger import migrate, open_ledger
from perennial.ledger.schema import HEAD, _known_revisions
from perennial.ledger.store import connect
from perennial.ledger.tables import metadata


def test_an_empty_ledger_is_migrated_on_opening(tmp_path):
    settings = settings_in(tmp_path)
    with open_ledger(settings) as ledger:
        assert ledger.counts_by_state() == {}
        assert not ledger.is_behind
    assert (tmp_path / "ledger" / "ledger.sqlite").is_file()


def test_migrations_make_exactly_the_tables_the_code_sees(tmp_path):
    settings = settings_in(tmp_path)
    assert migrate(settings) == HEAD == max(_known_revisions())
    engine = connect(settings)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_ledger_of_a_newer_version_is_refused(tmp_path):
    settings = settings_in(tmp_path)
    migrate(settings)
    with closing(sqlite3.connect(tmp_path / "ledger" / "ledger.sqlite")) as connection, connection:
        connection.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(BadConfig, match=r"schema 9999.*newer version"), open_ledger(settings):
        pass


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "ledger" / "ledger.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"not a database at all, " * 100)
    with pytest.raises(Permanent, match="is not a ledger"), open_ledger(settings_in(tmp_path)):
        pass
    assert path.read_bytes() == b"not a database at all, " * 100


def test_another_programs_database_is_refused(tmp_path):
    (tmp_path / "ledger").mkdir()
    with closing(sqlite3.connect(tmp_path / "ledger" / "ledger.sqlite")) as connection, connection:
        connection.execute("create table cats (name text)")
    with pytest.raises(Permanent, match=r"other tables \(cats\)"), open_ledger(settings_in(tmp_path)):
        pass


@pytest.mark.parametrize("url", ["mysql://host/ledger", "no url"])
def test_other_engines_are_refused(tmp_path, url):
    with pytest.raises(BadConfig, match="PERENNIAL_LEDGER"), open_ledger(settings_in(tmp_path, ledger=url)):
        pass


def test_processes_that_open_a_new_ledger_at_once_make_one(tmp_path):
    settings = settings_in(tmp_path)
    with get_context("spawn").Pool(3) as pool:
        assert pool.map(migrate, [settings] * 3) == [HEAD] * 3
        pool.close()
        pool.join()
    with open_ledger(settings) as ledger:
        assert not ledger.is_behind
