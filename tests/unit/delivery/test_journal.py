import os
from datetime import UTC, datetime

import pytest

from perennial.delivery import journal as room
from perennial.delivery.journal import Holder, Journal, JournalHeld, all_replays, journal_holder, taken_over
from perennial.delivery.provider import Result, Verdict
from perennial.foundation.errors import Retryable

AT = datetime(2026, 2, 1, 8, 30, tzinfo=UTC)
ACCEPTED = Result("m1", Verdict.ACCEPTED, "250 ok")


def _write(folder, lease_id="lease"):
    with Journal(folder, lease_id) as journal:
        journal.mark("m1", AT)
        journal.record(ACCEPTED)
        journal.mark("m2", AT)


def test_a_dead_workers_journal_says_what_happened(tmp_path):
    _write(tmp_path)
    with taken_over(tmp_path, "lease") as replay:
        assert replay.results == {"m1": ACCEPTED}
        assert replay.handed == {"m1": AT, "m2": AT}
        assert replay.is_whole


def test_a_living_workers_journal_cannot_be_taken_over(tmp_path):
    assert journal_holder(tmp_path, "lease") is Holder.MISSING
    with Journal(tmp_path, "lease"):
        assert journal_holder(tmp_path, "lease") is Holder.WORKER
        with pytest.raises(JournalHeld), taken_over(tmp_path, "lease"):
            pass
    assert journal_holder(tmp_path, "lease") is Holder.NOBODY


def test_only_one_takes_a_journal_over(tmp_path):
    _write(tmp_path)
    with taken_over(tmp_path, "lease"), pytest.raises(JournalHeld), taken_over(tmp_path, "lease"):
        pass


def test_no_journal_is_no_evidence(tmp_path):
    with taken_over(tmp_path, "lease") as replay:
        assert replay is None


def test_after_a_reboot_results_count_and_silence_proves_nothing(tmp_path, monkeypatch):
    _write(tmp_path)
    monkeypatch.setattr(room, "_boot_id", lambda: "another boot")
    with taken_over(tmp_path, "lease") as replay:
        assert replay.results == {"m1": ACCEPTED}
        assert not replay.is_whole


def test_a_torn_last_line_is_left_out(tmp_path):
    _write(tmp_path)
    path = tmp_path / "lease.journal"
    path.write_bytes(path.read_bytes() + b'{"handed": "m3", "a')
    with taken_over(tmp_path, "lease") as replay:
        assert set(replay.handed) == {"m1", "m2"}
        assert replay.is_whole


@pytest.mark.parametrize("junk", [b"", b"\n", b"\x00\x01\n", b'"text"\n', b'{"boot": null}\n{"handed": 3}\n'])
def test_a_damaged_journal_proves_nothing_it_does_not_say(tmp_path, junk):
    (tmp_path / "lease.journal").write_bytes(junk)
    with taken_over(tmp_path, "lease") as replay:
        assert not replay.is_whole
        assert replay.results == {}


def test_a_full_disk_is_noticed_before_the_body_leaves(tmp_path, monkeypatch):
    with Journal(tmp_path, "lease") as journal:
        monkeypatch.setattr(os, "write", lambda _file, line: len(line) // 2)
        with pytest.raises(Retryable, match="the disk is full"):
            journal.mark("m1", AT)


def test_a_journal_cannot_be_made_twice(tmp_path):
    _write(tmp_path)
    with pytest.raises(Retryable, match="cannot be made"):
        Journal(tmp_path, "lease")


def test_all_journals_are_the_hand_off_record(tmp_path):
    _write(tmp_path, "b")
    _write(tmp_path, "a")
    assert [set(replay.handed) for replay in all_replays(tmp_path)] == [{"m1", "m2"}] * 2
    with Journal(tmp_path, "c") as journal:
        journal.discard()
    assert len(list(all_replays(tmp_path))) == 2
