"""A worker dies, hangs or loses what it writes on at an exact point: nothing twice, nothing lost, little unknown."""

import errno
import os
import re
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from smtp_servers import smtp_server

import workers
from outbox import CAMPAIGN, DAY, freeze, later, new_message, settings_in
from perennial.delivery import journal as journals
from perennial.flows.delivery import deliver, reconcile
from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import Permanent, Retryable
from perennial.ledger import open_ledger

TOTAL = 6


@pytest.fixture
def outbox(tmp_path, ledger_url):
    """A function that queues messages for an SMTP server, on each engine of the ledger."""

    def fill(port):
        settings = settings_in(tmp_path, ledger=ledger_url, delivery="smtp", smtp_port=port, smtp_timeout=120)
        with open_ledger(settings) as ledger:
            freeze(ledger, settings, send=TOTAL)
            rows = [new_message(number, settings) for number in range(TOTAL)]
            assert ledger.queue(Run(DAY, Origin.LIVE), CAMPAIGN, "smtp", rows) == TOTAL
        return settings

    return fill


@contextmanager
def _held_at_dot(number):
    """A server that answers the dot of that letter when it is told to."""
    let_go = threading.Event()

    def script(step, count):
        if (step, count) == ("DOT", number):
            let_go.wait(120)

    with smtp_server(script, is_pipelining=True) as server:
        yield server, let_go


def _copies(server):
    """How often the server took each message."""
    return Counter(re.search(rb"X-Perennial-Message: (\S+)", body)[1].decode() for body in server.taken)


def _eventually(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def _counts(settings):
    with open_ledger(settings) as ledger:
        return ledger.counts_by_state()


@pytest.mark.parametrize(
    ("point", "taken", "unknown"),
    [
        ("claim", 0, 0),
        ("mark", 2, 1),  # perhaps the body had left, who knows
        ("dot", 3, 1),
        ("answer", 3, 1),
        ("record", 3, 0),
        ("settle", TOTAL, 0),
    ],
)
def test_a_worker_killed_at_a_point_leaves_at_most_the_letter_on_its_way_unknown(outbox, point, taken, unknown):
    with smtp_server(is_pipelining=True) as server:
        settings = outbox(server.port)
        worker = workers.start(settings, point, 1 if point in ("claim", "settle") else 3)
        worker.join(300)
        assert worker.exitcode == -signal.SIGKILL
        _eventually(lambda: len(server.taken) >= taken)
        assert sum(_counts(settings).values()) == TOTAL
        expected = {"accepted": TOTAL - unknown} | ({"unknown": unknown} if unknown else {})
        assert deliver(settings) == expected
        assert deliver(settings) == expected
    copies = _copies(server)
    assert set(copies.values()) == {1}
    assert len(copies) == (TOTAL - 1 if point == "mark" else TOTAL)


def test_a_worker_stopped_past_its_lease_finishes_late_and_undoes_nothing(outbox):
    with _held_at_dot(2) as (server, let_go):
        settings = outbox(server.port)
        worker = workers.start(settings)
        _eventually(lambda: len(server.bodies) == 2)
        os.kill(worker.pid, signal.SIGSTOP)
        assert deliver(settings) == {"sending": TOTAL}
        assert deliver(later(settings, minutes=16)) == {"unknown": TOTAL}  # it may yet send them
        let_go.set()
        os.kill(worker.pid, signal.SIGCONT)
        worker.join(300)
        assert worker.exitcode == 0
    assert _counts(settings) == {"accepted": TOTAL}
    assert list(_copies(server).values()) == [1] * TOTAL


@pytest.mark.parametrize("handed", [0, 3])
def test_a_disk_that_is_full_stops_before_the_next_body_and_nothing_is_unknown(outbox, monkeypatch, handed):
    write, lines = os.write, []

    def until_full(file, content):
        if content.startswith((b'{"handed"', b'{"result"')):
            lines.append(content)
            if len(lines) > 2 * handed:
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, content)

    with smtp_server(is_pipelining=True) as server:
        settings = outbox(server.port)
        with monkeypatch.context() as full:
            full.setattr(journals.os, "write", until_full)
            with pytest.raises(Retryable, match="journal cannot be written: No space left"):
                deliver(settings)
        counts = {"accepted": handed, "retry": TOTAL - handed}
        assert _counts(settings) == {state: count for state, count in counts.items() if count}
        assert len(server.bodies) == handed
        assert deliver(later(settings, minutes=2)) == {"accepted": TOTAL}
    assert set(_copies(server).values()) == {1}


@pytest.mark.parametrize("point", ["mark", "dot", "record"])
def test_a_ledger_put_back_from_before_a_batch_whose_worker_died_sends_nothing_of_it_again(
    outbox, copy_of_ledger, point
):
    with smtp_server(is_pipelining=True) as server:
        settings = outbox(server.port)
        put_back = copy_of_ledger(settings)
        workers.start(settings, point, 3).join(300)
        taken = 2 if point == "mark" else 3
        _eventually(lambda: len(server.taken) >= taken)
        settings = put_back()
        with pytest.raises(Permanent, match="perennial ledger reconcile"):
            deliver(settings)
        seen = 3 if point == "record" else 2
        done = reconcile(settings, by="a person")
        assert done == {"accepted": seen, "unknown": TOTAL - seen, "remembered": 0}
        assert deliver(settings) == {"accepted": seen, "unknown": TOTAL - seen}
    assert len(server.taken) == taken


def test_a_ledger_lost_in_the_middle_of_a_batch_is_not_begun_anew(outbox, postgres):
    with _held_at_dot(3) as (server, let_go):
        settings = outbox(server.port)
        worker = workers.start(settings)
        _eventually(lambda: len(server.bodies) == 3)
        if settings.ledger:
            postgres.empty(settings.ledger)
        else:
            for file in settings.ledger_dir.glob("ledger.sqlite*"):
                file.unlink()
        worker.kill()
        worker.join(300)
        let_go.set()
        with pytest.raises(Permanent, match="perennial ledger reconcile"):
            deliver(settings)
        assert reconcile(settings, by="a person") == {"accepted": 0, "unknown": 0, "remembered": 3}
        with open_ledger(settings) as ledger:  # the same day is planned again
            freeze(ledger, settings, send=TOTAL)
            rows = [new_message(number, settings) for number in range(TOTAL)]
            assert ledger.queue(Run(DAY, Origin.LIVE), CAMPAIGN, "smtp", rows) == TOTAL
        assert deliver(settings) == {"accepted": TOTAL - 3, "unknown": 3}
    assert set(_copies(server).values()) == {1}
