"""Eight workers, killed again and again at random moments, and a server that counts: nothing twice, nothing lost."""

import random
import signal
import time
from contextlib import ExitStack

import pytest

import workers
from counting_sink import counting_sink
from outbox import CAMPAIGN, DAY, freeze, new_message, settings_in
from perennial.flows.delivery import deliver
from perennial.foundation.days import Origin, Run
from perennial.ledger import open_ledger

AT_ONCE = 8


def _fill(settings, count):
    with open_ledger(settings) as ledger:
        freeze(ledger, settings, send=count)
        rows = (new_message(number, settings) for number in range(count))
        assert ledger.queue(Run(DAY, Origin.LIVE), CAMPAIGN, "smtp", rows) == count


class _Crew:
    """Workers; who is killed is replaced, who finds nothing more to do has ended."""

    def __init__(self, settings):
        self._settings = settings
        self._workers = [workers.start(settings) for _ in range(AT_ONCE)]

    def are_alive(self):
        return any(worker.is_alive() for worker in self._workers)

    def kill_one(self, chance):
        """Kill one at work: who ended before the signal came does not count."""
        met = False
        while not met:
            alive = [number for number, worker in enumerate(self._workers) if worker.is_alive()]
            number = chance.choice(alive or [0])
            self._workers[number].kill()
            self._workers[number].join(120)
            met = self._workers[number].exitcode == -signal.SIGKILL
            self._workers[number] = workers.start(self._settings)

    def join(self):
        for worker in self._workers:
            worker.join(1800)
            assert worker.exitcode == 0


def _torment(settings, sink, total, kills, seed):
    """Kill so many workers at work, spread over the sending of all messages."""
    chance = random.Random(seed)
    crew = _Crew(settings)
    for number in range(1, kills + 1):
        moment = total * number // (kills + 1) + chance.randint(-total // (4 * kills), total // (4 * kills))
        while sink.taken() < moment and crew.are_alive():
            time.sleep(0.005)
        time.sleep(chance.random() / 50)  # anywhere in what a worker does, not always after the same letter
        if not crew.are_alive():
            crew = _Crew(settings)
        crew.kill_one(chance)
    crew.join()


@pytest.mark.parametrize(
    ("total", "kills"),
    [(1_000, 6), pytest.param(100_000, 200, marks=pytest.mark.chaos)],
    ids=["small", "long"],
)
def test_workers_killed_at_random_send_nothing_twice_and_lose_nothing(tmp_path, ledger_url, capsys, total, kills):
    with ExitStack() as stack:
        sink = stack.enter_context(counting_sink(tmp_path / "taken"))
        settings = settings_in(tmp_path, ledger=ledger_url, delivery="smtp", smtp_port=sink.port)
        _fill(settings, total)
        begun = time.monotonic()
        _torment(settings, sink, total, kills, seed=20260201)
        counts = deliver(settings)
        seconds = time.monotonic() - begun
        copies = sink.copies()
        with open_ledger(settings) as ledger:
            unknown = set(ledger.unknown("smtp"))
            assert ledger.open_leases() == []
    assert max(copies.values()) == 1
    assert counts == {"accepted": total - len(unknown), **({"unknown": len(unknown)} if unknown else {})}
    assert len(unknown) <= kills  # each had one connection open
    assert len(copies) >= counts["accepted"]
    never_taken = len(unknown - set(copies))
    assert len(copies) == total - never_taken
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what it is run for
            f"\n{'PostgreSQL' if ledger_url else 'SQLite'}: {total:,} messages, {AT_ONCE} workers, {kills} killed in "
            f"{seconds:.0f} s: 0 sent twice, {counts['accepted']:,} accepted, {len(unknown)} unknown, of which "
            f"{len(unknown) - never_taken} had been taken"
        )
