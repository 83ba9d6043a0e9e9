"""A ledger moves from a file to a server and back: every row, its identity, and the end of the old one."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import select
from test_upgrade import first  # noqa: F401 - a fixture: a ledger with rows in every table

from outbox import settings_in
from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig, Permanent
from perennial.ledger import migrate, open_ledger
from perennial.ledger.store import connect
from perennial.ledger.tables import audit_log, metadata


@pytest.fixture
def present(first):  # noqa: F811
    """Settings of a ledger with rows in every table, in use."""
    settings, _ = first
    migrate(settings)
    with open_ledger(settings) as ledger:
        ledger.reconcile([], by="Ada")  # any write: the mark follows it
    return settings


@pytest.fixture
def new_place(settings, postgres, tmp_path):
    """A ledger of the other engine, in the same home."""
    url = postgres.database() if settings.ledger is None else f"sqlite:///{tmp_path / 'moved.sqlite'}"
    return settings_in(tmp_path, ledger=url)


def contents(settings):
    engine = connect(settings)
    with engine.connect() as connection:
        found = {
            table.name: sorted(repr(row) for row in connection.execute(select(table)))
            for table in metadata.sorted_tables
            if table.name != "ledger_state"
        }
        moves = connection.scalars(select(audit_log.c.actor).where(audit_log.c.action == "move")).all()
    engine.dispose()
    return found, moves


def move(settings, new_place):
    with open_ledger(settings) as present, open_ledger(new_place) as other:
        return present.move_to(other, by="Ada")


def test_every_row_moves_and_the_new_ledger_goes_on(present, new_place):
    before, _ = contents(present)
    rows = move(present, new_place)
    after, moves = contents(new_place)
    assert moves == ["Ada"]
    assert {table: len(found) for table, found in before.items()} == {
        table: count for table, count in rows.items() if table != "ledger_state"
    }
    for table, found in before.items():
        assert set(after[table]) >= set(found), table
        assert len(after[table]) == len(found) + (table == "audit_log")
    with open_ledger(new_place) as ledger:
        assert not ledger.is_behind
        assert ledger.counts_by_state()["queued"] == 1


def test_what_stays_behind_sends_nothing_any_more(present, new_place):
    move(present, new_place)
    with open_ledger(present) as old, pytest.raises(Permanent, match="older than its mark"):
        old.require_newest()


def test_a_place_that_holds_something_is_refused(present, new_place):
    with open_ledger(new_place) as other:
        other.record_day(Run(date(2026, 1, 31), Origin.REPLAY), datetime(2026, 2, 1, tzinfo=UTC))
    with pytest.raises(BadConfig, match="holds day_runs already: move into an empty database"):
        move(present, new_place)
    with open_ledger(present) as ledger:
        assert not ledger.is_behind


def test_a_ledger_cannot_move_to_where_it_is(present):
    with pytest.raises(BadConfig, match="is where the ledger is"):
        move(present, present)


def test_a_move_that_fails_half_way_has_moved_nothing(present, new_place, monkeypatch):

    def killed(*_args, **_details):
        raise KeyboardInterrupt

    with open_ledger(present) as ledger, open_ledger(new_place) as other:
        monkeypatch.setattr(other, "_audit", killed)
        with pytest.raises(KeyboardInterrupt):
            ledger.move_to(other, by="Ada")
    found, _ = contents(new_place)
    assert not any(found.values())
    with open_ledger(present) as ledger:
        assert not ledger.is_behind
    assert move(present, new_place)["messages"] == 5
