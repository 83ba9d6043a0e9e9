"""A ledger on a server: locks held too long, sessions that end, errors that pass and that stay, URLs and passwords."""

import logging
import socket
import threading
from datetime import timedelta
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import text

from outbox import fill, settings_in
from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.ledger import open_ledger, store
from perennial.ledger.store import connect, name_of

LEASE = timedelta(minutes=15)


@pytest.fixture
def settings(tmp_path, postgres):
    return settings_in(tmp_path, ledger=postgres.database())


@pytest.fixture
def ledger(settings):
    with open_ledger(settings) as ledger:
        fill(ledger, settings, 1)
        yield ledger


def test_a_writer_that_waits_too_long_may_try_again(ledger, settings, monkeypatch):
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0.2)
    with psycopg.connect(settings.ledger) as another:
        another.execute("select * from ledger_state for update")
        with pytest.raises(Retryable, match="lock timeout"):
            ledger.claim("lease", "mailbox", 1, LEASE)
        assert ledger.counts_by_state() == {"queued": 1}  # readers wait for nobody
    assert ledger.claim("lease", "mailbox", 1, LEASE) is not None


def _write(ledger, statement, before=lambda: None):
    with ledger._writing() as connection:
        connection.execute(text("update messages set state = 'failed'"))
        before()
        connection.execute(text(statement))


def test_a_writer_that_hangs_is_ended_by_the_server(ledger, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(store, "_IDLE_SECONDS", 0.2)
        with pytest.raises(Retryable, match="idle-in-transaction"):
            _write(ledger, "select 1", before=lambda: threading.Event().wait(0.6))
    assert ledger.counts_by_state() == {"queued": 1}
    assert ledger.claim("lease", "mailbox", 1, LEASE) is not None


def _end_sessions(settings):
    with psycopg.connect(settings.ledger, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )


def test_a_session_ended_between_two_transactions_is_not_noticed(ledger, settings):
    _end_sessions(settings)
    assert ledger.claim("lease", "mailbox", 1, LEASE) is not None


def test_a_session_ended_within_a_transaction_changes_nothing_and_may_be_tried_again(ledger, settings):
    with pytest.raises(Retryable, match="terminating connection"):
        _write(ledger, "select 1", before=lambda: _end_sessions(settings))
    assert ledger.counts_by_state() == {"queued": 1}
    assert not ledger.is_behind
    assert ledger.claim("lease", "mailbox", 1, LEASE) is not None


def _raise(state):
    return f"do $$ begin raise exception 'so it is' using errcode = '{state}'; end $$"


@pytest.mark.parametrize("state", ["40001", "40P01", "57P01", "25006", "53300", "08006"])
def test_what_passes_by_itself_is_retryable(ledger, state):
    with pytest.raises(Retryable, match="cannot be used right now: so it is"):
        _write(ledger, _raise(state))
    assert ledger.counts_by_state() == {"queued": 1}


@pytest.mark.parametrize("state", ["54000", "42P01", "22001", "23505"])
def test_what_stays_wrong_is_permanent(ledger, state):
    with pytest.raises(Permanent, match="refuses this: so it is"):
        _write(ledger, _raise(state))
    assert ledger.counts_by_state() == {"queued": 1}


def test_a_commit_is_durable_even_where_the_server_prefers_speed(settings):
    with psycopg.connect(settings.ledger, autocommit=True) as connection:
        connection.execute(f"alter database {connection.info.dbname} set synchronous_commit = off")
    with open_ledger(settings) as ledger, ledger._writing() as connection:
        assert connection.scalar(text("show synchronous_commit")) == "on"


def test_an_unreachable_server_is_named_without_the_password(tmp_path, caplog):
    settings = settings_in(tmp_path, ledger="postgresql://etl:s3cret@127.0.0.1:1/ledger?connect_timeout=2")
    with caplog.at_level(logging.DEBUG), pytest.raises(Retryable) as error, open_ledger(settings):
        pass
    assert str(error.value).startswith("Ledger postgresql://127.0.0.1:1/ledger cannot be used right now: ")
    assert "s3cret" not in str(error.value) + str(error.value.__cause__) + caplog.text


def test_a_server_that_says_nothing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setitem(store._PATIENCE, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/ledger"
        with pytest.raises(Retryable, match="timeout"), open_ledger(settings_in(tmp_path, ledger=url)):
            pass


# URLs.


@pytest.mark.parametrize(
    "url",
    [
        "mysql://host/ledger",
        "no url",
        "postgresql://etl:s3@cret@host/ledger",
        "postgresql://etl:pw@host:s3cret/ledger",
        "postgresql://etl:s3[cret@host/ledger",
        "postgresql+s3cret://host/ledger",
    ],
)
def test_a_url_of_another_kind_is_refused_and_not_repeated(tmp_path, url):
    with pytest.raises(BadConfig, match="PERENNIAL_LEDGER") as refused, open_ledger(settings_in(tmp_path, ledger=url)):
        pass
    assert "cret" not in str(refused.value).replace("postgresql+s3cret", "")


@pytest.mark.parametrize("password", ["p@ss/w:rd#?&%40 ü", "'\"\\$(x)["])
@pytest.mark.parametrize("is_apart", [True, False])
def test_a_password_may_hold_anything_and_is_never_shown(tmp_path, password, is_apart):
    given = "" if is_apart else f":{quote(password, safe='')}"
    settings = settings_in(
        tmp_path,
        ledger=f"postgresql://etl{given}@db.internal:5433/ledger?sslmode=require&sslpassword=key",
        ledger_password=password if is_apart else None,
    )
    assert quote(password, safe="") not in repr(settings)
    engine = connect(settings)
    assert engine.url.password == password
    assert engine.url.query == {"sslmode": "require", "sslpassword": "key"}
    assert name_of(engine) == "postgresql://db.internal:5433/ledger"


def test_options_of_the_url_reach_the_server(tmp_path, postgres):
    url = postgres.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create schema mail")
    glue = "&" if "?" in url else "?"
    with open_ledger(settings_in(tmp_path, ledger=f"{url}{glue}options=-csearch_path%3Dmail&sslmode=prefer")):
        pass
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from mail.messages").fetchone() == (0,)


def test_a_wrong_option_is_told(tmp_path, postgres):
    url = postgres.database()
    glue = "&" if "?" in url else "?"
    with (
        pytest.raises(Permanent, match=r"refuses this: .*colour"),
        open_ledger(settings_in(tmp_path, ledger=f"{url}{glue}colour=blue")),
    ):
        pass
