from datetime import timedelta

import pytest

from outbox import CAMPAIGN, fill, freeze, later, new_message, run_in
from perennial.foundation.days import Origin, Run, current_time
from perennial.foundation.errors import Permanent
from perennial.ledger import Outcome, State, message_id_of, open_ledger
from perennial.ledger.states import MAX_ATTEMPTS

LEASE = timedelta(minutes=15)


def test_queueing_twice_adds_nothing(ledger, settings):
    rows = fill(ledger, settings, 3)
    assert ledger.queue(run_in(settings), CAMPAIGN, "mailbox", rows) == 0
    assert ledger.counts_by_state() == {"queued": 3}
    assert ledger.campaign_runs()[0].state == "queued"


def test_one_address_gets_one_copy_whoever_shares_it(ledger, settings):
    freeze(ledger, settings, send=2)
    rows = [
        new_message(1, settings, address="Family@Mail.example"),
        new_message(2, settings, address="family@mail.example "),
    ]
    assert ledger.queue(run_in(settings), CAMPAIGN, "mailbox", rows) == 1
    assert [message["customer_id"] for message in ledger.messages_of("c1")] == ["c1"]
    assert ledger.messages_of("c2") == []


def test_times_come_back_aware_and_addresses_stay_inside(ledger, settings):
    fill(ledger, settings, 1)
    (message,) = ledger.messages_of("c0")
    assert message["queued_at"] == current_time(settings)
    assert message["queued_at"].tzinfo is not None
    assert not {"address", "context"} & set(message)
    assert ledger.message(message_id_of(CAMPAIGN, "2026-02-01", "c0")) == message


@pytest.mark.parametrize("origin", [Origin.BACKFILL, Origin.REPLAY])
def test_only_live_runs_queue(ledger, settings, origin):
    freeze(ledger, settings, send=1)
    with pytest.raises(Permanent, match=f"A {origin} run queues no mail"):
        ledger.queue(Run(run_in(settings).day, origin), CAMPAIGN, "mailbox", [new_message(1, settings)])
    assert ledger.counts_by_state() == {}


def test_a_demo_reaches_the_mailbox_only(ledger, settings):
    freeze(ledger, settings, send=1)
    with pytest.raises(Permanent, match="local mailbox only"):
        ledger.queue(run_in(settings), CAMPAIGN, "smtp", [new_message(1, settings)])


def test_what_is_not_frozen_is_not_queued(ledger, settings):
    with pytest.raises(Permanent, match="not frozen: plan first"):
        ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [])


def test_mail_queued_for_the_mailbox_is_never_claimed_for_smtp(ledger, settings):
    fill(ledger, settings, 2)
    assert ledger.claim("lease", "smtp", 10, LEASE) is None


def test_claims_share_nothing_and_wait_for_their_time(ledger, settings):
    freeze(ledger, settings, send=3)
    rows = [new_message(number, settings) for number in range(2)]
    rows.append(new_message(2, settings, not_before=current_time(settings) + timedelta(hours=1)))
    ledger.queue(run_in(settings), CAMPAIGN, "mailbox", rows)
    first, second = ledger.claim("one", "mailbox", 1, LEASE), ledger.claim("two", "mailbox", 5, LEASE)
    claimed = [message.customer_id for claim in (first, second) for message in claim.messages]
    assert sorted(claimed) == ["c0", "c1"]
    assert ledger.claim("three", "mailbox", 5, LEASE) is None
    assert {lease.lease_id for lease in ledger.open_leases()} == {"one", "two"}


def test_a_message_whose_time_has_passed_expires(ledger, settings):
    fill(ledger, settings, 2)
    with open_ledger(later(settings, days=4)) as much_later:
        assert much_later.claim("lease", "mailbox", 5, LEASE) is None
        assert much_later.counts_by_state() == {"expired": 2}


def test_a_claimed_message_without_an_outcome_is_unknown(ledger, settings):
    fill(ledger, settings, 2)
    claim = ledger.claim("lease", "mailbox", 5, LEASE)
    ledger.settle("lease", [Outcome(claim.messages[0].message_id, State.ACCEPTED, reply="250")])
    assert ledger.counts_by_state() == {"accepted": 1, "unknown": 1}
    assert ledger.open_leases() == []


def test_a_worker_that_was_given_up_can_still_say_what_it_knows(ledger, settings):
    fill(ledger, settings, 2)
    one, two = ledger.claim("lease", "mailbox", 5, LEASE).messages
    ledger.settle("lease", [])  # another worker gave it up
    ledger.settle_unknown([Outcome(two.message_id, State.FAILED)], by="a person", why="asked")
    late = [Outcome(one.message_id, State.ACCEPTED), Outcome(two.message_id, State.ACCEPTED)]
    assert ledger.settle("lease", late) == 1
    assert ledger.counts_by_state() == {"accepted": 1, "failed": 1}


def test_a_lost_lease_moves_nothing_that_was_claimed_again(ledger, settings):
    fill(ledger, settings, 1)
    (message,) = ledger.claim("old", "mailbox", 5, LEASE).messages
    ledger.settle("old", [Outcome(message.message_id, State.QUEUED)])
    assert ledger.claim("new", "mailbox", 5, LEASE) is not None
    assert ledger.settle("old", [Outcome(message.message_id, State.FAILED)]) == 0
    assert ledger.counts_by_state() == {"sending": 1}


def test_retries_wait_longer_each_time_and_end(ledger, settings):
    fill(ledger, settings, 1)
    waits, clock = [], settings
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with open_ledger(clock) as now:
            (message,) = now.claim(f"lease-{attempt}", "mailbox", 5, LEASE).messages
            now.settle(f"lease-{attempt}", [Outcome(message.message_id, State.RETRY, reason="greylisted")])
            (row,) = now.messages_of("c0")
            assert row["attempts"] == attempt
            if row["state"] == "retry":
                waits.append(row["next_attempt_at"] - current_time(clock))
                assert now.claim("too early", "mailbox", 5, LEASE) is None
                clock = later(clock, seconds=waits[-1].total_seconds())
    assert waits == sorted(set(waits))
    assert len(waits) == MAX_ATTEMPTS - 1
    assert (row["state"], row["reason"]) == ("failed", f"given up after {MAX_ATTEMPTS} attempts: greylisted")


def test_unknown_is_settled_by_evidence_only(ledger, settings):
    fill(ledger, settings, 2)
    claim = ledger.claim("lease", "mailbox", 5, LEASE)
    ledger.settle("lease", [])
    ids = [message.message_id for message in claim.messages]
    assert ledger.unknown("mailbox") == dict.fromkeys(ids, "lease")
    assert ledger.unknown("smtp") == {}
    assert ledger.claim("again", "mailbox", 5, LEASE) is None
    with pytest.raises(Permanent, match="cannot become retry"):
        ledger.settle_unknown([Outcome(ids[0], State.RETRY)], by="a person", why="hope")
    settled = [Outcome(ids[0], State.ACCEPTED), Outcome(ids[1], State.QUEUED)]
    assert ledger.settle_unknown(settled, by="mailbox", why="looked up") == 2
    assert ledger.settle_unknown(settled, by="mailbox", why="looked up") == 0
    assert ledger.counts_by_state() == {"accepted": 1, "queued": 1}


def test_changes_come_in_order_in_batches_and_without_private_columns(ledger, settings):
    fill(ledger, settings, 7)
    batches = list(ledger.changes("messages", None, batch_rows=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    rows = [row for batch in batches for row in batch]
    assert len({row["message_id"] for row in rows}) == 7
    assert not {"address", "context"} & set(rows[0])
    clock = later(settings, minutes=5)
    with open_ledger(clock) as now:
        (message,) = now.claim("lease", "mailbox", 1, LEASE).messages
        (changed,) = now.changes("messages", current_time(clock))
    assert [(row["message_id"], row["state"]) for row in changed] == [(message.message_id, "sending")]
