from datetime import timedelta

import pytest

from outbox import CAMPAIGN, TEMPLATE, fill, later, new_message, run_in
from perennial.foundation.errors import BadConfig
from perennial.ledger import EVERYTHING, Approval, NewCampaignRun, Outcome, State, open_ledger

LEASE = timedelta(minutes=15)


@pytest.fixture
def planned(ledger, settings):
    """A campaign run that waits for an approval: its outbox's hash."""
    run = run_in(settings)
    file = ledger.write_frozen(CAMPAIGN, run.send_day, b"decisions")
    planned = NewCampaignRun(CAMPAIGN, run.send_day, "2026-02-01", file, file, {"send": 2}, needs_approval=True)
    ledger.freeze([planned], [TEMPLATE], run.origin)
    return file.sha256


def decide(ledger, settings, approval, sha256):
    send_day = run_in(settings).send_day
    return ledger.decide_approval(CAMPAIGN, send_day, approval, outbox_sha256=sha256, by="ann", why="looks good")


def queue(ledger, settings):
    return ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [new_message(n, settings) for n in range(2)])


def claim(ledger, limit=10, lease="l1"):
    found = ledger.claim(lease, "mailbox", limit, LEASE)
    return [message.customer_id for message in found.messages] if found else []


def told(ledger):
    return [(row["action"], row["subject"]) for rows in ledger.changes("audit_log", None) for row in rows]


def test_what_waits_for_a_yes_is_not_queued_before(ledger, settings, planned):
    assert queue(ledger, settings) == 0
    assert ledger.campaign_runs()[0].state == "frozen"
    assert decide(ledger, settings, Approval.APPROVED, planned) is True
    assert decide(ledger, settings, Approval.APPROVED, planned) is False
    assert queue(ledger, settings) == 2
    assert ledger.campaign_runs()[0].state == "queued"
    assert told(ledger) == [("approved", "win_back 2026-02-01")]


def test_a_no_is_final(ledger, settings, planned):
    decide(ledger, settings, Approval.REJECTED, planned)
    assert queue(ledger, settings) == 0
    with pytest.raises(BadConfig, match="does not wait: approval rejected"):
        decide(ledger, settings, Approval.APPROVED, planned)
    assert ledger.counts_by_state() == {}


def test_an_answer_is_about_the_outbox_that_was_shown(ledger, settings, planned):
    with pytest.raises(BadConfig, match="was planned anew"):
        decide(ledger, settings, Approval.APPROVED, planned[::-1])
    assert ledger.campaign_runs()[0].approval is Approval.WAITING


@pytest.mark.parametrize("subject", [CAMPAIGN, EVERYTHING])
def test_what_is_paused_is_not_claimed_until_it_is_resumed(ledger, settings, subject):
    fill(ledger, settings, 3)
    assert len(claim(ledger, limit=1)) == 1
    assert ledger.pause(subject, by="ann", why="wrong price") is True
    assert ledger.pause(subject, by="bob", why="again") is False
    assert [(pause.subject, pause.by) for pause in ledger.pauses()] == [(subject, "ann")]
    assert claim(ledger, lease="l2") == []
    assert ledger.resume(subject, by="ann", why="right price") is True
    assert ledger.resume(subject, by="ann", why="right price") is False
    assert len(claim(ledger, lease="l3")) == 2
    assert told(ledger) == [("pause", subject), ("resume", subject)]


def test_another_campaigns_pause_stops_nobody(ledger, settings):
    fill(ledger, settings, 1)
    ledger.pause("birthday", by="ann", why="wrong picture")
    assert claim(ledger) == ["c0"]


def test_what_is_paused_too_long_expires(ledger, settings):
    fill(ledger, settings, 1)
    ledger.pause(EVERYTHING, by="ann", why="stop")
    with open_ledger(later(settings, days=4)) as after:
        assert claim(after) == []
        after.resume(EVERYTHING, by="ann", why="go")
        assert claim(after) == []
        assert after.counts_by_state() == {"expired": 1}


def test_cancelling_in_the_middle_leaves_what_a_worker_has_to_the_worker(ledger, settings):
    rows = fill(ledger, settings, 5)
    taken = ledger.claim("l1", "mailbox", 2, LEASE)
    assert ledger.cancel(CAMPAIGN, None, by="ann", why="wrong price") == {"cancelled": 3, "too_late": 2}
    ledger.settle("l1", [Outcome(message.message_id, State.ACCEPTED) for message in taken.messages])
    assert ledger.counts_by_state() == {"accepted": 2, "cancelled": 3}
    assert ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [*rows, new_message(9, settings)]) == 0
    assert claim(ledger, lease="l2") == []


def test_what_is_cancelled_while_it_was_tried_is_not_tried_again(ledger, settings):
    fill(ledger, settings, 1)
    (taken,) = ledger.claim("l1", "mailbox", 1, LEASE).messages
    ledger.cancel(CAMPAIGN, run_in(settings).send_day, by="ann", why="wrong price")
    ledger.settle("l1", [Outcome(taken.message_id, State.RETRY, reason="busy")])
    assert ledger.counts_by_state() == {"cancelled": 1}
