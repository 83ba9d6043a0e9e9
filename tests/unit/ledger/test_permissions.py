from datetime import timedelta

from outbox import CAMPAIGN, fill, freeze, later, new_message, run_in
from perennial.foundation.days import current_time
from perennial.ledger import EventKind, NewConsent, NewEvent, Outcome, State, address_hash, open_ledger

LEASE = timedelta(minutes=15)


def _consent(settings, number, state, topic="offers", **ago):
    return NewConsent(
        channel="email",
        state=state,
        recorded_at=current_time(settings) - timedelta(**ago),
        address_hash=address_hash(f"person{number}@mail.example"),
        topic=topic,
        method="form",
    )


def test_the_same_statement_is_kept_once(ledger, settings):
    statements = [_consent(settings, 1, "granted", days=3), _consent(settings, 1, "denied", days=2)]
    assert ledger.append_consents(statements) == 2
    assert ledger.append_consents(statements) == 0
    (rows,) = ledger.changes("consents", None)
    assert sorted(row["state"] for row in rows) == ["denied", "granted"]


def test_what_came_since_planning_holds_a_message(ledger, settings):
    fill(ledger, settings, 8)
    ledger.append_consents(
        [
            _consent(settings, 0, "granted", days=2),
            _consent(settings, 0, "denied", days=1),  # withdrawn later
            _consent(settings, 1, "denied", days=2),
            _consent(settings, 1, "granted", days=1),  # given again later
            _consent(settings, 2, "denied", topic=None, days=1),  # withdrawn altogether
            _consent(settings, 3, "denied", topic="news", days=1),  # another topic
            _consent(settings, 4, "granted", days=1),
            _consent(settings, 4, "denied", days=1),  # at the same moment: denied wins
        ]
    )
    ledger.suppress([address_hash("Person5@mail.example")], "complaint")
    ledger.suppress([address_hash("person6@mail.example")], "unsubscribed", topic="news")
    ledger.suppress([address_hash("person7@mail.example")], "pause", expires_at=current_time(settings))
    claim = ledger.claim("lease", "mailbox", 20, LEASE)
    by_id = {message.message_id: message.customer_id for message in claim.messages}
    objections = {by_id[message_id]: reason for message_id, reason in ledger.objections("lease").items()}
    assert objections == {"c0": "no_consent", "c2": "no_consent", "c4": "no_consent", "c5": "suppressed"}


def test_a_transactional_message_needs_no_consent(ledger, settings):
    freeze(ledger, settings, send=1)
    ledger.append_consents([_consent(settings, 1, "denied", topic=None, days=1)])
    ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [new_message(1, settings, purpose="transactional")])
    assert ledger.claim("lease", "mailbox", 20, LEASE) is not None
    assert ledger.objections("lease") == {}


def test_a_suppression_can_be_lengthened_not_shortened(ledger, settings):
    hashed = address_hash("a@b.example")
    soon, late = current_time(settings) + timedelta(days=1), current_time(settings) + timedelta(days=9)
    assert ledger.suppress([hashed], "pause", expires_at=soon) == 1
    assert ledger.suppress([hashed], "pause", expires_at=late) == 1
    assert ledger.suppress([hashed], "pause", expires_at=soon) == 0
    (rows,) = ledger.changes("suppressions", None)
    assert [row["expires_at"] for row in rows] == [late]


def _accepted(ledger, settings):
    fill(ledger, settings, 1)
    (message,) = ledger.claim("lease", "mailbox", 5, LEASE).messages
    ledger.settle("lease", [Outcome(message.message_id, State.ACCEPTED)])
    return message.message_id


def _event(settings, message_id, kind, event_id, **more):
    return NewEvent(event_id, message_id, kind, current_time(settings), provider="test", **more)


def test_an_event_counts_once_by_id_and_by_content(ledger, settings):
    message_id = _accepted(ledger, settings)
    event = _event(settings, message_id, EventKind.OPENED, "e1")
    again = _event(settings, message_id, EventKind.OPENED, "e2")  # the provider changed the id on a retry
    assert ledger.record_events([event, event, again]) == 1
    assert ledger.record_events([again]) == 0
    assert ledger.record_events([_event(settings, message_id, EventKind.CLICKED, "e3", details={"url": "x"})]) == 1


def test_delivered_then_bounced_moves_the_message_and_suppresses_the_address(ledger, settings):
    message_id = _accepted(ledger, settings)
    ledger.record_events([_event(settings, message_id, EventKind.DELIVERED, "e1")])
    assert ledger.counts_by_state() == {"delivered": 1}
    ledger.record_events([_event(settings, message_id, EventKind.BOUNCED, "e2")])
    ledger.record_events([_event(settings, message_id, EventKind.DELIVERED, "e1")])  # sent again by the provider
    assert ledger.counts_by_state() == {"bounced": 1}
    (suppressions,) = ledger.changes("suppressions", None)
    assert [(row["reason"], row["topic"], row["message_id"]) for row in suppressions] == [
        ("hard_bounce", "", message_id)
    ]


def test_a_machines_complaint_changes_nothing_but_is_kept(ledger, settings):
    message_id = _accepted(ledger, settings)
    assert ledger.record_events([_event(settings, message_id, EventKind.COMPLAINED, "e1", machine=True)]) == 1
    assert list(ledger.changes("suppressions", None)) == []


def test_unsubscribing_is_a_suppression_a_withdrawal_and_an_event_once(ledger, settings):
    message_id = _accepted(ledger, settings)
    assert ledger.unsubscribe(message_id, method="one_click", proof={"text_version": "1"})
    with open_ledger(later(settings, hours=1)) as an_hour_later:
        assert an_hour_later.unsubscribe(message_id, method="page", proof={})
    assert not ledger.unsubscribe("00000000-0000-0000-0000-000000000000", method="page", proof={})
    (suppressions,), (consents,), (events,) = (
        ledger.changes(table, None) for table in ("suppressions", "consents", "message_events")
    )
    assert [(row["reason"], row["topic"], row["expires_at"]) for row in suppressions] == [
        ("unsubscribed", "offers", None)
    ]
    assert [(row["state"], row["topic"], row["method"]) for row in consents] == [("denied", "offers", "one_click")]
    assert [(row["kind"], row["message_id"]) for row in events] == [("unsubscribed", message_id)]
