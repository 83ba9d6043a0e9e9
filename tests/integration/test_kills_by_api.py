"""Workers killed while they send through a fake SendGrid: nobody gets two, and in doubt is what was in flight."""

import random
import time
from contextlib import contextmanager
from multiprocessing import get_context

import pytest
from api_servers import KEY, FakeSendGrid, api_server

from outbox import CAMPAIGN, DAY, freeze, new_message, settings_in
from perennial.delivery.api import AT_ONCE
from perennial.flows.delivery import deliver
from perennial.foundation.days import Origin, Run
from perennial.foundation.settings import load_settings
from perennial.ledger import open_ledger

# Its children begin with everything imported; no thread of the fake is in them.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["perennial.flows.delivery", "perennial.delivery.sendgrid", "sendgrid"])


class SlowSendGrid(FakeSendGrid):
    """Thinks before and after it takes a request, so that kills meet both."""

    thinks = 0.03

    def read(self, path, headers, body):
        time.sleep(self.thinks)
        return super().read(path, headers, body)

    def accepted(self):
        time.sleep(self.thinks)
        return super().accepted()


def _work(fields):
    deliver(load_settings(**fields))


@contextmanager
def _worker(fields):
    process = FORKS.Process(target=_work, args=(fields,))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(20)


def _filled(home, ledger_url, server, total):
    fields = {
        "home": home,
        "ledger": ledger_url,
        "delivery": "sendgrid",
        "sendgrid_url": server.url,
        "sendgrid_api_key": KEY,
    }
    settings = settings_in(**fields)
    with open_ledger(settings) as ledger:
        freeze(ledger, settings, send=total)
        rows = (new_message(number, settings) for number in range(total))
        assert ledger.queue(Run(DAY, Origin.LIVE), CAMPAIGN, "sendgrid", rows) == total
    return settings, fields | {"now": settings.now.isoformat()}


def _kill_and_finish(home, ledger_url, total, kills, seed):
    """Kill workers at random moments, let the last finish; what was said and what was taken."""
    chance = random.Random(seed)
    with api_server(SlowSendGrid) as server:
        settings, fields = _filled(home, ledger_url, server, total)
        killed = 0
        while killed < kills:
            begun = server.begun
            with _worker(fields) as worker:
                while killed % 2 == 0 and server.begun == begun and worker.is_alive():
                    time.sleep(0.002)  # every second one has begun a request before it may be killed
                worker.join(chance.random() * chance.choice([0.05, 0.2, 0.8]))
                killed += worker.is_alive()
                if not worker.is_alive() and worker.exitcode == 0:
                    break  # all is sent
            with open_ledger(settings) as ledger:
                assert sum(ledger.counts_by_state().values()) == total
        states = deliver(settings)
        taken = [mail.message_id for mail in server.taken]
    with open_ledger(settings) as ledger:
        said = {row["message_id"]: row["state"] for batch in ledger.changes("messages", None) for row in batch}
    return killed, states, said, taken


def _hold(total, killed, states, said, taken):
    assert sum(states.values()) == len(said) == total
    assert len(taken) == len(set(taken))  # none twice
    assert set(states) <= {"accepted", "unknown"}
    assert states.get("unknown", 0) <= killed * AT_ONCE
    assert {message_id for message_id, state in said.items() if state == "accepted"} <= set(taken)
    assert set(taken) <= said.keys()


@pytest.mark.slow
def test_a_killed_worker_leaves_one_request_in_doubt_and_nobody_gets_two(tmp_path, ledger_url):
    total = 1_200
    killed, states, said, taken = _kill_and_finish(tmp_path, ledger_url, total, kills=3, seed=1)
    assert killed == 3
    assert states["accepted"] > 0
    _hold(total, killed, states, said, taken)


@pytest.mark.chaos
def test_two_hundred_kills_over_a_hundred_thousand_messages(tmp_path, ledger_url, capsys):
    total = 100_000
    begun = time.monotonic()
    killed, states, said, taken = _kill_and_finish(tmp_path, ledger_url, total, kills=200, seed=2)
    with capsys.disabled():
        doubtful = {message_id for message_id, state in said.items() if state == "unknown"}
        print(  # noqa: T201 - the figures are what it is run for
            f"\nSendGrid, {'PostgreSQL' if ledger_url else 'SQLite'}: {killed} kills over {total:,} messages in "
            f"{time.monotonic() - begun:.0f} s: {len(taken) - len(set(taken))} duplicates, {states}; of the unknown "
            f"{len(doubtful & set(taken)):,} were taken, at most {AT_ONCE:,} a kill"
        )
    assert killed == 200
    _hold(total, killed, states, said, taken)
