from datetime import timedelta

import pytest

from outbox import CAMPAIGN, fill, freeze, later, new_message, run_in
from perennial.foundation.days import current_time
from perennial.ledger import EventKind, NewEvent, Outcome, ReadReport, State, address_hash, is_gone, open_ledger

LEASE = timedelta(minutes=15)
POLICY = {"after": 3, "within_days": 30, "rest_days": 10}


def _suppressions(ledger):
    return [(row["reason"], row["expires_at"]) for batch in ledger.changes("suppressions", None) for row in batch]


def _settled(ledger, settings, occurrence, state, reply=None):
    """One mail to person 1, and what became of it; returns its id."""
    freeze(ledger, settings, send=1)
    ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [new_message(1, settings, occurrence=occurrence)])
    (message,) = ledger.claim(occurrence, "mailbox", 5, LEASE).messages
    ledger.settle(occurrence, [Outcome(message.message_id, state, reply=reply)])
    return message.message_id


def _event(settings, message_id, kind):
    return NewEvent(f"{kind}:{message_id}", message_id, kind, current_time(settings), provider="test")


@pytest.mark.parametrize(
    ("status", "gone"),
    [("5.1.1", True), ("5.1.10", True), ("5.2.1", True), ("5.2.2", False), ("5.7.1", False), ("5.1.8", False),
     ("4.1.1", False), (None, False)],
)  # fmt: skip
def test_only_a_mailbox_that_is_no_more_is_gone(status, gone):
    assert is_gone(status) is gone


@pytest.mark.parametrize(
    ("reply", "kind", "suppressed"),
    [
        ("RCPT: 550 5.1.1 <recipient>: no such user", "bounced", ["hard_bounce"]),
        ("550 5.1.1 after the dot", "bounced", ["hard_bounce"]),
        ("RCPT: 552 5.2.2 mailbox full", "soft_bounced", []),
        ("RCPT: 550 blocked by our list", "soft_bounced", []),
        ("RCPT: 450 4.2.2 still full", "soft_bounced", []),
        ("DATA: 554 5.1.1 no valid recipients", None, []),  # about the transaction
        ("the connection was closed", None, []),
    ],
)
def test_a_receiver_that_its_server_refuses_is_noted_once(ledger, settings, reply, kind, suppressed):
    _settled(ledger, settings, "one", State.FAILED, reply)
    assert [ledger.note_refusals() for _ in range(2)] == [int(kind is not None), 0]
    assert [row["kind"] for batch in ledger.changes("message_events", None) for row in batch] == [kind] * bool(kind)
    assert [reason for reason, _ in _suppressions(ledger)] == suppressed
    assert ledger.counts_by_state() == {"failed": 1}


def test_an_address_rests_after_some_soft_bounces_and_not_for_ever(ledger, settings):
    for number in range(3):
        assert ledger.rest_soft_bounced(**POLICY) == 0
        message_id = _settled(ledger, settings, f"o{number}", State.ACCEPTED)
        ledger.record_events([_event(settings, message_id, EventKind.SOFT_BOUNCED)] * 2)
    assert ledger.counts_by_state() == {"bounced": 3}
    assert [ledger.rest_soft_bounced(**POLICY) for _ in range(2)] == [1, 0]
    assert _suppressions(ledger) == [("soft_bounce", current_time(settings) + timedelta(days=10))]
    with open_ledger(later(settings, days=11)) as after:
        freeze(after, settings, send=1)
        after.queue(run_in(settings), CAMPAIGN, "mailbox", [new_message(1, later(settings, days=11), occurrence="new")])
        assert after.claim("new", "mailbox", 5, LEASE)
        assert after.objections("new") == {}


@pytest.mark.parametrize(("days", "resting"), [(1, 1), (4, 0)])
def test_a_mail_of_which_nothing_was_heard_for_three_days_clears_the_count(ledger, settings, days, resting):
    soft = [_settled(ledger, settings, f"o{number}", State.ACCEPTED) for number in range(3)]
    ledger.record_events([_event(settings, message_id, EventKind.SOFT_BOUNCED) for message_id in soft])
    with open_ledger(later(settings, hours=1)) as ledger_then:
        _settled(ledger_then, later(settings, hours=1), "good", State.ACCEPTED)
    with open_ledger(later(settings, days=days)) as ledger_then:
        assert ledger_then.rest_soft_bounced(**POLICY) == resting


def test_a_delivery_that_the_server_tells_clears_the_count(ledger, settings):
    soft = [_settled(ledger, settings, f"o{number}", State.ACCEPTED) for number in range(3)]
    ledger.record_events([_event(settings, message_id, EventKind.SOFT_BOUNCED) for message_id in soft])
    with open_ledger(later(settings, hours=1)) as now:
        good = _settled(now, later(settings, hours=1), "good", State.ACCEPTED)
        now.record_events([_event(later(settings, hours=1), good, EventKind.DELIVERED)])
        assert now.rest_soft_bounced(**POLICY) == 0
    with open_ledger(later(settings, hours=2)) as now:
        again = [_settled(now, later(settings, hours=2), f"n{number}", State.ACCEPTED) for number in range(3)]
        now.record_events([_event(later(settings, hours=2), one, EventKind.SOFT_BOUNCED) for one in again])
        assert now.rest_soft_bounced(**POLICY) == 1


def test_reports_are_taken_once_and_those_of_unknown_mail_set_aside(ledger, settings):
    message_id = _settled(ledger, settings, "one", State.ACCEPTED)
    stranger = "00000000-0000-0000-0000-000000000000"
    reports = [
        ReadReport("h1", "recorded", _event(settings, message_id, EventKind.COMPLAINED)),
        ReadReport("h2", "recorded", _event(settings, stranger, EventKind.BOUNCED)),
        ReadReport("h3", "no_report"),
    ]
    assert ledger.unread_reports(["h1", "h2", "h3", "h4"]) == {"h1", "h2", "h3", "h4"}
    assert ledger.take_reports(reports) == {"recorded": 1, "unmatched": 1, "no_report": 1}
    assert ledger.take_reports(reports) == {}
    assert ledger.unread_reports(["h1", "h2", "h3", "h4"]) == {"h4"}
    assert [reason for reason, _ in _suppressions(ledger)] == ["complaint"]


def test_a_person_may_block_an_address_and_lift_what_nobody_else_said(ledger, settings):
    fill(ledger, settings, 1)
    hashed = address_hash("Someone@Mail.Example")
    ledger.suppress([hashed], "by_hand", by="ann", why="asked by phone")
    ledger.suppress([hashed], "unsubscribed", topic="offers")
    assert ledger.lift_suppressions(hashed, by="ann", why="a mistake") == 1
    assert ledger.lift_suppressions(hashed, by="ann", why="a mistake") == 0
    now = current_time(settings)
    in_force = {row["reason"]: row["expires_at"] for row in ledger.suppressions_of(hashed)}
    assert in_force == {"by_hand": now, "unsubscribed": None}
    assert ledger.suppress([hashed], "by_hand", by="ann", why="again") == 1
    told = [row["action"] for batch in ledger.changes("audit_log", None) for row in batch]
    assert sorted(told) == ["lift_suppressions", "suppress", "suppress", "suppress"]
