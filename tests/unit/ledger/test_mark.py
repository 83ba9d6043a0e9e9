import shutil
from datetime import timedelta

import pytest

from outbox import CAMPAIGN, fill, new_message, run_in
from perennial.foundation.errors import Permanent, Retryable
from perennial.ledger import Outcome, State, message_id_of, open_ledger, store
from perennial.ledger.mark import Mark, raise_mark, read_mark

LEASE = timedelta(minutes=15)


def _ids(*numbers):
    return [message_id_of(CAMPAIGN, "2026-02-01", f"c{number}") for number in numbers]


@pytest.fixture
def restored(settings, copy_of_ledger):
    """Settings of a ledger put back from before four of its six messages were claimed."""
    with open_ledger(settings) as ledger:
        fill(ledger, settings, 6)
    put_back = copy_of_ledger(settings)
    with open_ledger(settings) as ledger:
        claim = ledger.claim("lease", "mailbox", 4, LEASE)
        ledger.settle("lease", [Outcome(message.message_id, State.ACCEPTED) for message in claim.messages])
        assert ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [new_message(9, settings)]) == 1
    return put_back()


def test_an_old_ledger_neither_queues_nor_sends(restored):
    with open_ledger(restored) as ledger:
        assert ledger.is_behind
        for refused in (
            lambda: ledger.claim("new", "mailbox", 5, LEASE),
            lambda: ledger.queue(run_in(restored), CAMPAIGN, "mailbox", [new_message(7, restored)]),
            lambda: ledger.freeze([], [], run_in(restored).origin),
            ledger.require_newest,
        ):
            with pytest.raises(Permanent, match="perennial ledger reconcile"):
                refused()
        assert ledger.counts_by_state() == {"queued": 6}


def test_an_old_ledger_still_takes_unsubscribes_and_stays_blocked(restored):
    with open_ledger(restored) as ledger:
        for message_id in _ids(0, 1, 2, 3, 4, 5):
            for _ in range(4):
                assert ledger.unsubscribe(message_id, method="page", proof={})
        assert ledger.is_behind


def test_reconciling_sends_nothing_twice(restored):
    first, second, lost = *_ids(0, 1), *_ids(9)
    with open_ledger(restored) as ledger:
        done = ledger.reconcile({(first, True), (second, False), (lost, True)}, by="a person")
        assert done == {"accepted": 1, "unknown": 5, "remembered": 1}
        assert not ledger.is_behind
        assert ledger.claim("new", "mailbox", 5, LEASE) is None
        assert ledger.queue(run_in(restored), CAMPAIGN, "mailbox", [new_message(9, restored)]) == 1
        assert ledger.counts_by_state() == {"accepted": 1, "unknown": 6}
        assert ledger.reconcile([], by="a person") == {"accepted": 0, "unknown": 0, "remembered": 0}


def test_without_a_mark_a_person_says_that_the_ledger_is_old(restored):
    (restored.home / "ledger.mark").unlink()  # as on a new host
    with open_ledger(restored) as ledger:
        assert not ledger.is_behind
        assert ledger.reconcile([(_ids(0)[0], True)], by="a person") == {"accepted": 0, "unknown": 0, "remembered": 0}
        done = ledger.reconcile([(_ids(0)[0], True)], by="a person", restored=True)
        assert done == {"accepted": 1, "unknown": 5, "remembered": 0}
        assert not ledger.is_behind
        assert ledger.claim("new", "mailbox", 5, LEASE) is None


def test_a_deleted_ledger_is_an_old_ledger(settings, postgres):
    with open_ledger(settings) as ledger:
        fill(ledger, settings, 1)
    if settings.ledger:
        anew = settings.model_copy(update={"ledger": postgres.database()})
    else:
        anew = settings
        shutil.rmtree(settings.ledger_dir)
    with open_ledger(anew) as ledger:
        assert ledger.is_behind
        ledger.reconcile([], by="a person")
        assert not ledger.is_behind
        fill(ledger, anew, 1)


def test_a_broken_mark_blocks_and_reconciling_writes_it_anew(ledger, settings):
    fill(ledger, settings, 1)
    (settings.home / "ledger.mark").write_text("nonsense")
    with pytest.raises(Permanent, match="reconcile"):
        ledger.claim("lease", "mailbox", 5, LEASE)
    ledger.reconcile([], by="a person")
    assert not ledger.is_behind


def test_a_mark_a_commit_short_after_a_crash_blocks_nothing(ledger, settings):
    before = (settings.home / "ledger.mark").read_bytes()
    fill(ledger, settings, 1)
    (settings.home / "ledger.mark").write_bytes(before)
    assert not ledger.is_behind
    assert ledger.claim("lease", "mailbox", 5, LEASE) is not None


def test_a_commit_between_two_looks_is_no_old_ledger(ledger, settings, monkeypatch):
    def read_after_a_commit(path):
        monkeypatch.setattr(store, "read_mark", read_mark)
        fill(ledger, settings, 1)
        return read_mark(path)

    monkeypatch.setattr(store, "read_mark", read_after_a_commit)
    assert not ledger.is_behind


def test_a_home_of_another_host_has_a_mark_of_its_own(settings, restored, tmp_path):
    """What the mark is worth where hosts share the ledger but not the home: each knows its own commits only."""
    elsewhere = restored.model_copy(update={"home": tmp_path / "elsewhere"})
    with open_ledger(elsewhere) as ledger:
        assert not ledger.is_behind  # it never saw a newer one
    with open_ledger(restored) as ledger:
        assert ledger.is_behind


def test_the_mark_of_a_ledger_only_rises(tmp_path):
    path = tmp_path / "mark"
    assert read_mark(path) is None
    raise_mark(path, Mark("a", 5))
    raise_mark(path, Mark("a", 4))
    assert read_mark(path) == Mark("a", 5)
    path.write_bytes(b"")  # created by a process that was killed before it wrote
    assert read_mark(path) is None


def test_a_full_disk_is_no_lost_claim(ledger, settings, monkeypatch):
    fill(ledger, settings, 1)

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.pwrite", full)
        with pytest.raises(Retryable, match="mark cannot be written: No space left"):
            ledger.claim("lease", "mailbox", 5, LEASE)
    assert ledger.counts_by_state() == {"sending": 1}
    assert [lease.lease_id for lease in ledger.open_leases()] == ["lease"]
