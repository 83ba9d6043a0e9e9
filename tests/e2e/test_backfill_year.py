"""
Days of a real shop through the scheduler: nobody is written to, and the tables are the command line's.

`WHOLE_YEAR=1 pytest …` backfills sixty days, which takes eight minutes of CPU; otherwise it is the last two.
"""

import os
from datetime import UTC, date, datetime

import pytest

from contents import messages, tables
from e2e.scheduler import Scheduler
from online_retail import EXAMPLE, YEAR, days_between, files_by_day, settings_of
from perennial.flows.day import runs_between, steps
from perennial.foundation.days import Origin
from perennial.foundation.settings import load_settings
from perennial.ledger import open_ledger
from perennial.orchestration.chain import APPROVAL, DAY_CHAIN

LAST = date(2010, 11, 30)
FIRST = date(2010, 10, 2) if os.environ.get("WHOLE_YEAR") else date(2010, 11, 29)
NOW = datetime(2010, 12, 2, 6, tzinfo=UTC)  # a day later: no day of the backfill is the clock's yesterday

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not YEAR.exists(), reason=f"{YEAR} is not there")]


@pytest.fixture
def new_home(tmp_path):
    """A function that makes a home of the shop, with the files of those days in its inbox."""
    files = [file for day, file in files_by_day(tmp_path / "files").items() if FIRST <= day <= LAST]

    def make(name):
        inbox = tmp_path / name / "inbox" / "invoices"
        inbox.mkdir(parents=True)
        for file in files:
            (inbox / file.name).hardlink_to(file)
        return tmp_path / name

    return make


def test_days_backfilled_by_the_scheduler_are_those_of_the_command_line(airflow, new_home, monkeypatch):
    home = new_home("airflow")
    for name, value in {
        "home": home,
        "include": EXAMPLE,
        "timezone": "Europe/London",
        "currency": "GBP",
        "now": NOW.isoformat(),
    }.items():
        monkeypatch.setenv(f"PERENNIAL_{name.upper()}", str(value))
    assert Scheduler(monkeypatch).backfill(FIRST, LAST) == dict.fromkeys(
        [*DAY_CHAIN, APPROVAL], len(days_between(FIRST, LAST))
    )

    scheduled = load_settings()
    with open_ledger(scheduled) as ledger:
        runs = ledger.day_runs()
        assert ledger.campaign_runs() == []
    assert sorted(run.day for run in runs) == days_between(FIRST, LAST)
    assert {run.origin for run in runs} == {Origin.BACKFILL}
    assert messages(scheduled) == {}

    by_hand = settings_of(new_home("command_line"), NOW)
    for run in runs_between(FIRST, LAST, by_hand):
        for _, step in steps(run, by_hand, publishes=run.day == LAST):
            step()
    assert tables(scheduled) == tables(by_hand)
