from datetime import UTC, datetime, timedelta

import pytest
from uuid6 import uuid7

from outbox import CAMPAIGN, OCCURRENCE, fill, freeze, later, new_message, run_in
from perennial.foundation.days import Origin, Run, current_time
from perennial.foundation.errors import Permanent
from perennial.ledger import EventKind, NewEvent, Outcome, State, message_id_of, open_ledger
from perennial.ledger.messages import _due
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


def test_what_is_past_its_time_does_not_hide_what_is_due(ledger, settings):
    freeze(ledger, settings, send=5)
    now = current_time(settings)
    rows = [new_message(number, settings, expires_at=now + timedelta(minutes=1)) for number in range(3)]
    rows += [new_message(number, settings, not_before=now + timedelta(minutes=2)) for number in (3, 4)]
    ledger.queue(run_in(settings), CAMPAIGN, "mailbox", rows)
    with open_ledger(later(settings, minutes=3)) as after:
        claim = after.claim("lease", "mailbox", 3, LEASE)
        assert [message.customer_id for message in claim.messages] == sorted(("c3", "c4"), key=_id_of)
        assert after.counts_by_state() == {"expired": 3, "sending": 2}


def test_what_waits_longest_is_claimed_first_whether_new_or_tried_before(ledger, settings):
    freeze(ledger, settings, send=3)
    now = current_time(settings)
    rows = [new_message(number, settings, not_before=now + timedelta(seconds=90 * number)) for number in range(3)]
    ledger.queue(run_in(settings), CAMPAIGN, "mailbox", rows)
    (first,) = ledger.claim("lease", "mailbox", 5, LEASE).messages
    ledger.settle("lease", [Outcome(first.message_id, State.RETRY)])  # due again after a minute
    with open_ledger(later(settings, minutes=5)) as after:
        claimed = [after.claim(f"lease-{number}", "mailbox", 1, LEASE).messages[0].customer_id for number in range(3)]
    assert claimed == ["c0", "c1", "c2"]


def _id_of(customer_id):
    return message_id_of(CAMPAIGN, OCCURRENCE, customer_id)


def test_all_claims_of_a_minute_together_keep_to_the_limit(ledger, settings):
    fill(ledger, settings, 20)

    def claimed(at, limit=9):
        with open_ledger(at) as now:
            claim = now.claim(str(uuid7()), "mailbox", limit, LEASE, per_minute=10)
            return len(claim.messages) if claim else 0

    assert [claimed(settings, 4), claimed(settings), claimed(settings)] == [4, 6, 0]
    assert ledger.has_due("mailbox")
    assert claimed(later(settings, seconds=59)) == 0
    assert claimed(later(settings, hours=-1)) == 0  # nothing was due then, and the next claims count anew
    assert [claimed(later(settings, seconds=60), 2), claimed(later(settings, seconds=119))] == [2, 8]
    assert claimed(later(settings, minutes=2)) == 0
    assert not ledger.has_due("mailbox")


def test_a_claim_does_not_sort_all_that_waits(ledger):
    """However much waits, a claim reads what it takes: by the index, without a sort."""
    due = str(
        _due("mailbox", State.QUEUED, datetime.now(UTC), set())
        .limit(250)
        .compile(ledger._engine, compile_kwargs={"literal_binds": True})
    )
    explain = "explain query plan" if ledger._engine.dialect.name == "sqlite" else "explain"
    with ledger._reading() as connection:
        if explain == "explain":
            connection.exec_driver_sql("set enable_sort = off")  # of an empty table it would sort, which costs nothing
            connection.exec_driver_sql("set enable_seqscan = off")
            connection.exec_driver_sql("set enable_bitmapscan = off")
        plan = " ".join(str(row) for row in connection.exec_driver_sql(f"{explain} {due}"))
    assert "ix_messages_due" in plan
    assert not {"SORT", "TEMP"} & set(plan.upper().split())


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


def test_what_was_handed_over_and_never_came_back_is_presumed_accepted_after_three_days(ledger, settings):
    fill(ledger, settings, 3)
    now = current_time(settings)
    one, two, three = ledger.claim("lease", "mailbox", 5, LEASE).messages
    handed = [Outcome(message.message_id, State.UNKNOWN, handed_at=now) for message in (one, two)]
    ledger.settle("lease", handed)  # of the third nobody knows whether it left
    ledger.record_events([NewEvent("e1", two.message_id, EventKind.BOUNCED, now, "smtp")])
    with open_ledger(later(settings, hours=71)) as before:
        assert before.presume_accepted("mailbox") == 0
    with open_ledger(later(settings, hours=72)) as after:
        assert [after.presume_accepted(provider) for provider in ("smtp", "mailbox", "mailbox")] == [0, 1, 0]
        rows = [after.message(message.message_id) for message in (one, two, three)]
        assert [row["state"] for row in rows] == ["accepted", "bounced", "unknown"]
        assert (rows[0]["accepted_at"], rows[0]["reason"][:8]) == (now, "presumed")
        after.record_events([NewEvent("e2", one.message_id, EventKind.BOUNCED, now, "smtp")])
        assert after.message(one.message_id)["state"] == "bounced"


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
