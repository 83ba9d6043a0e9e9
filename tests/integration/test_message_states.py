"""Any interleaving of workers, kills, recoveries and answers keeps the promise: no duplicate, no silent loss."""

import atexit
import shutil
from collections import Counter
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from uuid6 import uuid7

from outbox import fill, later, settings_in
from perennial.delivery.journal import Journal
from perennial.delivery.provider import Result, Verdict
from perennial.flows.delivery import LEASE, _outcome, recover, settle_unknown
from perennial.foundation.days import current_time
from perennial.ledger import Outcome, State, open_ledger

TOTAL = 12


@cache
def _filled(server):
    """Settings of a home with waiting messages, to be copied; its ledger is a file, or a database of `server`."""
    home = Path(mkdtemp())
    atexit.register(shutil.rmtree, home)
    settings = settings_in(home, ledger=server and server.database())
    with open_ledger(settings) as ledger:
        fill(ledger, settings, TOTAL)
    return settings


class World:
    """A provider that remembers what it took."""

    name = "mailbox"

    def __init__(self):
        self.took = Counter()

    def lookup(self, message_ids):
        return {message_id for message_id in message_ids if self.took[message_id]}


class Worker:
    """A worker that does one step at a time and may die between any two."""

    def __init__(self, ledger, clock):
        self.lease_id = str(uuid7())
        self.journal = Journal(clock.ledger_dir / "journal", self.lease_id)
        claim = ledger.claim(self.lease_id, "mailbox", 3, LEASE)
        self.waiting = [message.message_id for message in claim.messages] if claim else []
        self.outcomes = []


class Delivering(RuleBasedStateMachine):
    server = None

    def __init__(self):
        super().__init__()
        filled = _filled(self.server)
        self.folder = TemporaryDirectory()
        shutil.copytree(filled.home, self.folder.name, dirs_exist_ok=True)
        self.clock = settings_in(Path(self.folder.name), ledger=self.server and self.server.copy(filled.ledger))
        self.world, self.workers = World(), []

    def teardown(self):
        for worker in self.workers:
            worker.journal.__exit__()
        self.folder.cleanup()
        if self.server:
            self.server.drop(self.clock.ledger)

    @precondition(lambda self: len(self.workers) < 3)
    @rule()
    def claim(self):
        with open_ledger(self.clock) as ledger:
            self.workers.append(Worker(ledger, self.clock))

    @precondition(lambda self: any(worker.waiting for worker in self.workers))
    @rule(
        data=st.data(),
        dies=st.sampled_from(["", "before the mark", "after the mark", "after the dot"]),
        verdict=st.sampled_from(list(Verdict)),
        was_taken=st.booleans(),
    )
    def send_one(self, data, dies, verdict, was_taken):
        worker = data.draw(st.sampled_from(self.workers))
        if not worker.waiting:
            return None
        if dies == "before the mark":
            return self._kill(worker)
        message_id = worker.waiting.pop(0)
        worker.journal.mark(message_id, current_time(self.clock))
        if dies == "after the mark":
            return self._kill(worker)
        if verdict is Verdict.ACCEPTED or (verdict is Verdict.UNKNOWN and was_taken):
            self.world.took[message_id] += 1
        if dies == "after the dot":
            return self._kill(worker)
        result = Result(message_id, verdict, "said so")
        worker.journal.record(result)
        worker.outcomes.append(_outcome(result, current_time(self.clock)))
        return None

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def finish(self, data):
        worker = data.draw(st.sampled_from(self.workers))
        rest = [Outcome(message_id, State.RETRY) for message_id in worker.waiting]
        with open_ledger(self.clock) as ledger:
            ledger.settle(worker.lease_id, [*worker.outcomes, *rest])
        self._kill(worker)

    @rule()
    def recover(self):
        with open_ledger(self.clock) as ledger:
            recover(ledger, self.clock)

    @rule()
    def look_up_unknown(self):
        with open_ledger(self.clock) as ledger:
            settle_unknown(ledger, self.world, self.clock)

    @rule(minutes=st.sampled_from([1, 6, 16, 60, -60]))
    def the_clock_moves(self, minutes):
        """On, or back: clocks are corrected, and those of two hosts differ."""
        self.clock = later(self.clock, minutes=minutes)

    @invariant()
    def the_promise_holds(self):
        with open_ledger(self.clock) as ledger:
            rows = [row for batch in ledger.changes("messages", None) for row in batch]
        assert len(rows) == TOTAL  # nothing is lost
        for row in rows:
            taken = self.world.took[row["message_id"]]
            assert taken <= 1  # nothing is sent twice
            if row["state"] == "accepted":
                assert taken == 1
            if row["state"] in ("queued", "retry", "failed", "expired"):
                assert taken == 0

    def _kill(self, worker):
        worker.journal.__exit__()  # what the kernel does: the lock is gone
        self.workers.remove(worker)


assert timedelta(minutes=16) > LEASE  # so that `the_clock_moves` can outlive a lease

TestDelivering = pytest.mark.slow(Delivering.TestCase)
TestDelivering.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class DeliveringOnPostgreSQL(Delivering):
    pass


@pytest.fixture
def _on_postgresql(postgres):
    DeliveringOnPostgreSQL.server = postgres


TestDeliveringOnPostgreSQL = pytest.mark.slow(
    pytest.mark.usefixtures("_on_postgresql")(DeliveringOnPostgreSQL.TestCase)
)
TestDeliveringOnPostgreSQL.settings = settings(TestDelivering.settings, max_examples=20)
