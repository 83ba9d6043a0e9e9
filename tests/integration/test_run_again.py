"""
A run may be repeated, killed at any moment, and lose its warehouse: the end is the same, nobody gets two mails.

On both engines: warehouse and ledger are files, or databases of a server.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from contents import copies, messages, orders, tables
from homes import environment, run_day, run_newest_day
from perennial.flows import demo, rebuild
from perennial.flows.day import runs_between
from perennial.foundation.days import Origin, run_of, yesterday
from perennial.foundation.settings import Settings
from perennial.ledger import open_ledger

FIRST, LAST = date(2025, 12, 10), date(2026, 1, 28)
NEXT = date(2026, 1, 29)
KILLS = 2


@pytest.fixture(scope="module")
def shop(homes, tmp_path_factory):
    """A demo shop in which nothing was run. Not to be written to: copy it."""
    settings = homes.settings(tmp_path_factory.mktemp("shop") / "home")
    demo.build(settings, 500, FIRST, LAST)
    return settings


@pytest.fixture(scope="module")
def lived_in(shop, homes, tmp_path_factory):
    """The same home after two days of a closed loop. Not to be written to: copy it."""
    settings = homes.copy(shop, tmp_path_factory.mktemp("lived_in") / "home")
    run_newest_day(settings)
    settings = demo.advance(settings)
    run_newest_day(settings)
    assert yesterday(settings) == NEXT
    return settings


@dataclass(frozen=True)
class Whole:
    """A home after one run that nobody disturbed, and how long that took."""

    settings: Settings
    seconds: float


@pytest.fixture(scope="module")
def whole(shop, homes, tmp_path_factory):
    settings = homes.copy(shop, tmp_path_factory.mktemp("whole") / "home")
    started = time.monotonic()
    assert start(settings).wait() == 0
    return Whole(settings, time.monotonic() - started)


@pytest.fixture
def home(lived_in, homes, tmp_path):
    return homes.copy(lived_in, tmp_path / "home")


@pytest.mark.slow
def test_a_day_run_twice_changes_nothing_and_sends_nothing(home):
    before = tables(home), messages(home), copies(home)
    assert before[1], "the days before should have sent something"
    run_newest_day(home)
    assert (tables(home), messages(home), copies(home)) == before


@pytest.mark.slow
def test_a_past_day_run_again_changes_nothing(home):
    before = tables(home), messages(home), copies(home)
    run_day(run_of(LAST, home), home)
    assert (tables(home), messages(home), copies(home)) == before


@pytest.mark.slow
def test_files_that_come_with_a_past_day_are_left_to_the_newest(home):
    file = home.inbox_dir / "web_orders" / f"{LAST}.csv"
    file.with_name(f"{LAST}-late.csv").write_text("".join(file.read_text().splitlines(keepends=True)[:6]))
    for run in (run_of(LAST, home), run_of(NEXT, home)):
        run_day(run, home)
        found = orders(home)
        assert all(rows == found["warehouse"] for rows in found.values())
    before = tables(home)
    for _, step in rebuild.steps(home):
        step()
    after = tables(home)
    del before["raw.checks"], after["raw.checks"]  # told by batch: two batches of a day come as one again
    assert after == before


@pytest.mark.slow
def test_a_lost_warehouse_is_made_again_by_the_next_run(home, homes):
    before = tables(home), messages(home), copies(home)
    homes.lose_warehouse(home)
    run_newest_day(home)
    assert (tables(home), messages(home), copies(home)) == before


@pytest.mark.slow
def test_rebuild_makes_the_same_warehouse(home):
    before = tables(home)
    for _, step in rebuild.steps(home):
        step()
    assert tables(home) == before


@pytest.mark.slow
@pytest.mark.parametrize("homes", ["duckdb"], indirect=True)  # nothing of it hangs on the engine
def test_a_backfill_queues_nothing(shop, homes, tmp_path):
    settings = homes.copy(shop, tmp_path / "home")
    runs = runs_between(date(2026, 1, 26), date(2026, 1, 27), settings)
    assert {run.origin for run in runs} == {Origin.BACKFILL}
    for run in runs:
        run_day(run, settings)
    assert messages(settings) == {}
    with open_ledger(settings) as ledger:
        assert ledger.campaign_runs() == []
    assert not list(settings.mailbox_dir.glob("*")) if settings.mailbox_dir.exists() else True


@pytest.mark.slow
@pytest.mark.parametrize(  # two minutes on a server: in `make chaos`
    "homes", ["duckdb", pytest.param("postgresql", marks=pytest.mark.chaos)], indirect=True
)
def test_killed_again_and_again_the_end_is_the_same(shop, whole, homes, tmp_path):
    broken, lasts = homes.copy(shop, tmp_path / "home"), whole.seconds
    dice, kills = random.Random(20260131), 0
    while kills < KILLS:
        process = start(broken)
        try:
            assert process.wait(timeout=dice.uniform(0.3, lasts)) == 0
            lasts *= 0.8  # it had less to do than the dice gave it
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
    assert start(broken).wait() == 0

    assert tables(broken) == tables(whole.settings)
    assert messages(broken) == messages(whole.settings)
    assert copies(broken) == copies(whole.settings)
    assert set(copies(broken).values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("homes", ["duckdb"], indirect=True)  # a server's disk is looked after where the server is
def test_a_full_disk_is_told_and_loses_nothing(shop, whole, homes, tmp_path):
    full = homes.copy(shop, tmp_path / "home")

    failed = subprocess.run(
        [Path(sys.executable).with_name("perennial"), "run"],
        env=os.environ | environment(full),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20)),  # no file may grow above it
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert "Error:" in failed.stderr
    assert "Free disk space" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert start(full).wait() == 0
    assert tables(full) == tables(whole.settings)


def start(settings: Settings) -> subprocess.Popen[bytes]:
    """`perennial run` in a process group of its own."""
    return subprocess.Popen(
        [Path(sys.executable).with_name("perennial"), "run"],
        env=os.environ | environment(settings),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
