"""A ledger of the first schema, with rows in every table, is raised to today's and keeps every one of them."""

from datetime import UTC, date, datetime, timedelta

import pytest
from alembic import command
from sqlalchemy import MetaData, insert, inspect, select

from perennial.foundation.errors import BadConfig
from perennial.ledger import migrate, open_ledger
from perennial.ledger.schema import HEAD, _alembic
from perennial.ledger.store import connect

T = datetime(2026, 2, 1, 8, 29, 59, 123456, tzinfo=UTC)
DAY = date(2026, 2, 1)
# What a ledger of schema 0001 may hold. It never changes: later schemas must cope with it.
ROWS = {
    "ledger_state": [{"ledger_id": "01890000-0000-7000-8000-000000000001", "revision": 41}],
    "audit_log": [
        {
            "audit_id": "a1",
            "at": T,
            "actor": "Zoë",
            "action": "suppress",
            "subject": "1 addresses",
            "details": {"reason": "complaint", "n": 1, "share": 0.5, "none": None, "words": ["退订", "\u0000"]},
        }
    ],
    "day_runs": [
        {"day": DAY - timedelta(days=1), "known_at": T, "origin": "live", "finished_at": T},
        {"day": DAY - timedelta(days=1), "known_at": T + timedelta(hours=1), "origin": "replay", "finished_at": T},
    ],
    "campaign_runs": [
        {
            "campaign": "win_back",
            "send_day": DAY,
            "occurrence": "2026-02-01",
            "origin": "live",
            "decisions_file": "decisions/2026-02-01/win_back.0123456789ab.parquet",
            "decisions_sha256": "d" * 64,
            "outbox_file": "decisions/2026-02-01/win_back.outbox.0123456789ab.parquet",
            "outbox_sha256": "e" * 64,
            "counts": {"send": 2, "no_consent": 1},
            "state": state,
            "frozen_at": T,
            "queued_at": queued_at,
            **changes,
        }
        for state, queued_at, changes in (("queued", T, {}), ("frozen", None, {"campaign": "birthday"}))
    ],
    "templates": [
        {
            "template_hash": "f" * 64,
            "campaign": "win_back",
            "locale": "zh-CN",
            "variant": "a",
            "subject": "{{ first_name }}好久不见",
            "html": "<p>" + "x" * 50_000 + "</p>",
            "text": "…",
            "created_at": T,
        }
    ],
    "leases": [
        {"lease_id": "l1", "provider": "smtp", "claimed_at": T, "expires_at": T, "closed_at": T},
        {"lease_id": "l2", "provider": "mailbox", "claimed_at": T, "expires_at": T, "closed_at": None},
    ],
    "messages": [
        {
            "message_id": f"m{number}",
            "campaign": "win_back",
            "occurrence": "2026-02-01",
            "send_day": DAY,
            "customer_id": f"c{number}",
            "address": f"person{number}@mail.example",
            "address_hash": f"{number}" * 64,
            "locale": "zh-CN",
            "arm": "treated",
            "variant": None,
            "purpose": "promotional",
            "topic": "offers",
            "template_hash": "f" * 64,
            "context": {"first_name": "Ada"},
            "not_before": T,
            "expires_at": T + timedelta(days=3),
            "provider": "smtp",
            "state": state,
            "reason": None,
            "attempts": number,
            "next_attempt_at": T,
            "lease_id": lease,
            "queued_at": T,
            "handed_at": T,
            "accepted_at": None,
            "settled_at": None,
            "provider_reply": "250 2.0.0 Ok",
            "updated_at": T,
        }
        for number, (state, lease) in enumerate(
            [("queued", None), ("accepted", "l1"), ("sending", "l2"), ("unknown", "l1"), ("delivered", "l1")]
        )
    ],
    "message_events": [
        {
            "event_id": "unsubscribed:m1",
            "content_hash": "1" * 64,
            "message_id": "m1",
            "kind": "unsubscribed",
            "occurred_at": T,
            "recorded_at": T,
            "provider": "web",
            "machine": machine,
            "details": {"method": "page"},
            **changes,
        }
        for machine, changes in ((False, {}), (True, {"event_id": "e2", "content_hash": "2" * 64}))
    ],
    "consents": [
        {
            "content_hash": "3" * 64,
            "address_hash": "1" * 64,
            "customer_ref": "c1",
            "channel": "email",
            "topic": "offers",
            "state": "denied",
            "recorded_at": T,
            "method": "page",
            "proof": '{"text_version": "2026-02"}',
            "appended_at": T,
        }
    ],
    "suppressions": [
        {
            "suppression_id": "4" * 64,
            "address_hash": "1" * 64,
            "reason": "unsubscribed",
            "topic": "",
            "created_at": T,
            "expires_at": None,
            "message_id": "m1",
        }
    ],
}


def _contents(connection):
    """Every row of every table, as the database itself describes and holds it, in the columns of the first schema."""
    found = MetaData()
    found.reflect(connection)
    tables = [table for name, table in found.tables.items() if name != "alembic_version"]
    contents = {
        table.name: {
            tuple(sorted((name, repr(value)) for name, value in row.items() if name in ROWS[table.name][0]))
            for row in connection.execute(select(table)).mappings()
        }
        for table in tables
    }
    return {table: rows for table, rows in contents.items() if rows}


@pytest.fixture
def first(settings):
    """Settings of a ledger made by migration 0001 alone, and what it holds."""
    engine = connect(settings)
    with engine.execution_options(writes=True).begin() as connection:
        command.upgrade(_alembic(connection), "0001")
        tables = MetaData()
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if table.name != "alembic_version":
                connection.execute(insert(table), ROWS[table.name])
    with engine.connect() as connection:
        before = _contents(connection)
    engine.dispose()
    assert set(before) == set(ROWS)
    return settings, before


def test_every_row_of_the_first_schema_is_kept(first):
    settings, before = first
    assert migrate(settings) == ("0001", HEAD)
    engine = connect(settings)
    with engine.connect() as connection:
        after = _contents(connection)
        assert {table: rows for table, rows in after.items() if rows or table in before} == before
        known = {table: inspect(connection).get_foreign_keys(table) for table in before}
        assert len(known["messages"]) == 3
    engine.dispose()


def test_the_raised_ledger_says_what_it_said_and_goes_on(first):
    settings, _ = first
    migrate(settings)
    with open_ledger(settings) as ledger:
        assert not ledger.is_behind
        assert ledger.counts_by_state() == {"accepted": 1, "delivered": 1, "queued": 1, "sending": 1, "unknown": 1}
        assert [(run.campaign, run.state, run.counts["send"]) for run in ledger.campaign_runs()] == [
            ("birthday", "frozen", 2),
            ("win_back", "queued", 2),
        ]
        assert [run.known_at for run in ledger.day_runs()] == [T, T + timedelta(hours=1)]
        assert [(lease.lease_id, lease.message_ids) for lease in ledger.open_leases()] == [("l2", ["m2"])]
        claim = ledger.claim("new", "smtp", 10, timedelta(minutes=15))
        (claimed,) = claim.messages
        template = claim.templates[claimed.template_hash]
        assert (claimed.message_id, claimed.context, len(template.html)) == ("m0", {"first_name": "Ada"}, 50_007)
        assert ledger.unsubscribe("m4", method="page", proof={})


def test_opening_raises_a_file_but_not_a_servers_ledger(first):
    settings, _ = first
    if settings.ledger is None:
        with open_ledger(settings) as ledger:
            assert ledger.message("m0")["state"] == "queued"
        assert migrate(settings) == (HEAD, HEAD)
        return
    with pytest.raises(BadConfig, match=r"has schema 0001, this .* run `perennial migrate`"), open_ledger(settings):
        pass
    assert migrate(settings) == ("0001", HEAD)
