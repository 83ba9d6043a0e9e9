"""What differs between SQLite and PostgreSQL must not be seen: odd values, and several writers at once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from multiprocessing import get_context

import psycopg
import pytest

from outbox import CAMPAIGN, fill, freeze, new_message, run_in
from perennial.foundation.days import current_time
from perennial.foundation.errors import Permanent
from perennial.ledger import EventKind, NewConsent, NewEvent, Outcome, State, message_id_of, open_ledger

LEASE = timedelta(minutes=15)
SEVERAL = 8


# Odd values.


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("250 \0 ok", "250 \ufffd ok"),
        ("\ud800", "?"),  # half a character
        ("x" * 100_000, "x" * 100_000),
        ("👩‍👩‍👧 退订 ¼", "👩‍👩‍👧 退订 ¼"),
    ],
)
def test_whatever_a_server_replies_the_claim_is_settled(ledger, settings, said, kept):
    fill(ledger, settings, 1)
    (message,) = ledger.claim("lease", "mailbox", 1, LEASE).messages
    assert ledger.settle("lease", [Outcome(message.message_id, State.FAILED, reply=said, reason=said)]) == 1
    (row,) = ledger.messages_of("c0")
    assert (row["state"], row["provider_reply"], row["reason"]) == ("failed", kept, kept)


@pytest.mark.parametrize("odd", ["e\0", "e" * 1_000, "é\ud800"])
def test_an_event_with_an_odd_id_counts_once_and_does_its_work(ledger, settings, odd):
    fill(ledger, settings, 1)
    (message,) = ledger.claim("lease", "mailbox", 1, LEASE).messages
    ledger.settle("lease", [Outcome(message.message_id, State.ACCEPTED)])
    details = {"said": "a\0b", "half": "\ud800", "share": float("nan"), "most": float("inf")}
    event = NewEvent(
        odd, message.message_id, EventKind.BOUNCED, current_time(settings), provider="test", details=details
    )
    assert [ledger.record_events([event]) for _ in range(2)] == [1, 0]
    assert ledger.counts_by_state() == {"bounced": 1}
    (rows,) = ledger.changes("message_events", None)
    assert rows[0]["details"] == {"said": "a\0b", "half": "\ud800", "share": None, "most": None}
    assert len(list(ledger.changes("suppressions", None))) == 1


def test_a_withdrawal_with_odd_text_is_kept(ledger, settings):
    said = NewConsent(
        "email", "denied", current_time(settings), customer_ref="r\0" + "9" * 5_000, topic="t" * 500, proof="\0"
    )
    assert [ledger.append_consents([said]) for _ in range(2)] == [1, 0]
    fill(ledger, settings, 1)
    assert ledger.unsubscribe(
        message_id_of(CAMPAIGN, "2026-02-01", "c0"), method="page\0", proof={"agent": "\0" + "x" * 10_000}
    )
    (rows,) = ledger.changes("consents", None)
    assert {(row["customer_ref"], row["method"]) for row in rows} == {
        ("r\ufffd" + "9" * 5_000, None),
        ("c0", "page\ufffd"),
    }


def test_a_long_address_or_customer_id_stops_no_queue(ledger, settings):
    freeze(ledger, settings, send=3)
    rows = [
        new_message(0, settings, address="a" * 2_000 + "@mail.example"),
        new_message(1, settings, customer_id="c" * 2_000),
        new_message(2, settings, context={"first_name": "Ada\0"}),
    ]
    assert ledger.queue(run_in(settings), CAMPAIGN, "mailbox", rows) == 3
    claimed = {message.customer_id: message for message in ledger.claim("lease", "mailbox", 9, LEASE).messages}
    assert claimed["c0"].address == "a" * 2_000 + "@mail.example"
    assert claimed["c2"].context == {"first_name": "Ada\0"}
    assert "c" * 2_000 in claimed


def test_times_keep_their_microseconds_in_utc_whatever_the_sessions_zone(settings):
    if settings.ledger:
        with psycopg.connect(settings.ledger, autocommit=True) as connection:
            name = connection.execute("select current_database()").fetchone()[0]
            connection.execute(f"alter database {name} set timezone = 'Pacific/Auckland'")
    at = current_time(settings) + timedelta(microseconds=123_456)
    with open_ledger(settings) as ledger:
        ledger.record_day(run_in(settings), at)
        (day,) = ledger.day_runs()
    assert day.known_at == at
    assert day.known_at.tzinfo is UTC


def test_what_the_database_refuses_is_told_without_the_row(ledger, settings):
    freeze(ledger, settings, send=1)
    for wrong in ({"template_hash": "unknown"}, {"locale": None}):
        with pytest.raises(Permanent, match="refuses this: ") as refused:
            ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [new_message(1, settings, **wrong)])
        assert "mail.example" not in str(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__


# Several writers.


def _claim_all(settings, name):
    claimed = []
    with open_ledger(settings) as ledger:
        number = 0
        while claim := ledger.claim(f"{name}-{number}", "mailbox", 7, LEASE):
            ids = [message.message_id for message in claim.messages]
            ledger.settle(claim.lease_id, [Outcome(message_id, State.ACCEPTED) for message_id in ids])
            claimed += ids
            number += 1
    return claimed


def test_threads_that_claim_at_once_share_nothing(ledger, settings):
    fill(ledger, settings, 200)
    with ThreadPoolExecutor(SEVERAL) as pool:
        claimed = [one for ids in pool.map(lambda name: _claim_all(settings, name), range(SEVERAL)) for one in ids]
    assert Counter(claimed) == Counter(dict.fromkeys(claimed, 1))
    assert len(claimed) == 200
    assert ledger.counts_by_state() == {"accepted": 200}


def test_threads_that_share_one_open_ledger_share_nothing_else(ledger, settings):
    fill(ledger, settings, 100)
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda name: ledger.claim(f"{name}", "mailbox", 30, LEASE), range(4)))
    claimed = [message.message_id for claim in claims for message in claim.messages]
    assert len(claimed) == len(set(claimed)) == 100


@pytest.mark.slow
def test_processes_that_claim_at_once_share_nothing(ledger, settings):
    fill(ledger, settings, 200)
    with get_context("spawn").Pool(3) as pool:
        claimed = [one for ids in pool.starmap(_claim_all, [(settings, name) for name in range(3)]) for one in ids]
        pool.close()
        pool.join()
    assert len(claimed) == len(set(claimed)) == 200


def test_a_forked_process_opens_its_own_and_leaves_its_parents_alone(ledger, settings):
    fill(ledger, settings, 20)
    child = get_context("fork").Process(target=_claim_all, args=(settings, "child"))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert ledger.counts_by_state() == {"accepted": 20}


def test_queueing_at_once_queues_everything_once(ledger, settings):
    freeze(ledger, settings, send=600)
    rows = [new_message(number, settings) for number in range(600)]
    orders = [rows, rows[::-1], rows[300:] + rows[:300]]  # in step they could not wait for each other in a circle

    def queue(order):
        with open_ledger(settings) as own:
            return own.queue(run_in(settings), CAMPAIGN, "mailbox", order)

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(queue, orders)) == 600
    assert ledger.counts_by_state() == {"queued": 600}


def test_events_told_at_once_in_any_order_count_once(ledger, settings):
    fill(ledger, settings, 60)
    claim = ledger.claim("lease", "mailbox", 60, LEASE)
    ledger.settle("lease", [Outcome(message.message_id, State.ACCEPTED) for message in claim.messages])
    events = [
        NewEvent(f"e{number}", message.message_id, EventKind.BOUNCED, current_time(settings), provider="test")
        for number, message in enumerate(claim.messages)
    ]

    def record(order):
        with open_ledger(settings) as own:
            return own.record_events(order)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(record, [events, events[::-1], events[30:] + events[:30], events])) == 60
    assert ledger.counts_by_state() == {"bounced": 60}


def test_an_unsubscribe_in_the_middle_of_a_long_queue_gets_through(ledger, settings):
    fill(ledger, settings, 1)
    rows = [new_message(number, settings) for number in range(1, 2_000)]
    with ThreadPoolExecutor(1) as pool:
        queueing = pool.submit(ledger.queue, run_in(settings), CAMPAIGN, "mailbox", rows)
        with open_ledger(settings) as own:
            assert own.unsubscribe(message_id_of(CAMPAIGN, "2026-02-01", "c0"), method="page", proof={})
        assert queueing.result() == 1_999
