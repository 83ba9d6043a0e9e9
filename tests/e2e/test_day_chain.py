"""The chain as the scheduler runs it, with flows that only note how they were called."""

import sys
from datetime import date, timedelta
from types import ModuleType

import pytest

from perennial.foundation.days import Origin
from perennial.foundation.errors import BadData, Retryable
from perennial.foundation.settings import load_settings
from perennial.orchestration import DAG_DEFAULTS
from perennial.orchestration.chain import APPROVAL, DAY_CHAIN, ChainFailed
from perennial.orchestration.failures import read_failures

DAY = date(2026, 1, 31)
SCHEMAS = ("staging", "core")


class Flows:
    """Stands in for `perennial.flows`: every call is noted as (function, argument, day, origin)."""

    def __init__(self, monkeypatch):
        self.calls = []
        self.due = ["win_back", "tier_upgrade"]
        self.errors = {}  # function: errors to raise, one a call
        functions = {
            "ingest": {
                "land": self.mapped("land"),
                "load": self.plain("load"),
                "source_names": lambda _: ["web", "till"],
            },
            "rebuild": {"restore": self.plain("restore")},
            "refresh": {"SCHEMAS": SCHEMAS, "refresh": self.mapped("refresh")},
            "churn": {"score": self.plain("score")},
            "campaigns": {"plan": self.plain("plan"), "due": lambda *_: self.due, "queue": self.mapped("queue")},
            "approval": {"waiting": lambda *_: []},
            "publish": {"publish": self.plain("publish")},
            "retention": {"pseudonymise": lambda _: {"files": 0}},
            "delivery": {"deliver": lambda _: {"accepted": 2}},
        }
        package = ModuleType("perennial.flows")
        package.__path__ = []
        monkeypatch.setitem(sys.modules, package.__name__, package)
        for name, members in functions.items():
            module = ModuleType(f"perennial.flows.{name}")
            module.__dict__.update(members)
            monkeypatch.setitem(sys.modules, module.__name__, module)
            setattr(package, name, module)

    def mapped(self, function):
        return lambda argument, run, _: self.note(function, argument, run)

    def plain(self, function):
        return lambda run, _: self.note(function, None, run)

    def note(self, function, argument, run):
        self.calls.append((function, argument, run.day, run.origin))
        if self.errors.get(function):
            raise self.errors[function].pop(0)
        return {"rows": 1}

    def days(self, function):
        return [day for name, _, day, _ in self.calls if name == function]

    def origins(self):
        return {origin for *_, origin in self.calls}


@pytest.fixture
def flows(monkeypatch):
    return Flows(monkeypatch)


@pytest.fixture
def impatient(monkeypatch):
    # Long enough to be seen waiting, on a busy machine too.
    monkeypatch.setitem(DAG_DEFAULTS["default_args"], "retry_delay", timedelta(seconds=3))


@pytest.fixture
def scheduler(flows, scheduler):
    return scheduler


def test_one_day_runs_through_the_whole_chain_in_order(scheduler, flows):
    results = scheduler.run_day(DAY)
    assert [(function, argument) for function, argument, *_ in flows.calls] == [
        ("land", "web"),
        ("land", "till"),
        ("restore", None),
        ("load", None),
        ("refresh", "staging"),
        ("refresh", "core"),
        ("score", None),
        ("plan", None),
        ("queue", "win_back"),
        ("queue", "tier_upgrade"),
        ("publish", None),
    ]
    assert {day for _, _, day, _ in flows.calls} == {DAY}
    assert flows.origins() == {Origin.DEMO}
    assert results["plan_campaigns.gather"] == {"win_back": {"rows": 1}, "tier_upgrade": {"rows": 1}}
    assert results["ingest_sources.land[web]"] == {"rows": 1}


def test_a_day_without_campaigns_is_still_published(scheduler, flows):
    flows.due = []
    results = scheduler.run_day(DAY)
    assert results["plan_campaigns.gather"] == {}
    assert flows.days("publish") == [DAY]


def test_days_follow_each_other_and_a_day_can_be_run_again(scheduler, flows):
    for day in (date(2026, 1, 30), DAY, DAY):
        scheduler.run_day(day)
    assert flows.days("publish") == [date(2026, 1, 30), DAY, DAY]


def test_a_backfill_runs_every_day_and_no_task_of_it_may_send(scheduler, flows):
    assert scheduler.backfill(date(2026, 1, 29), DAY) == dict.fromkeys([*DAY_CHAIN, APPROVAL], 3)
    assert sorted(flows.days("publish")) == [date(2026, 1, 29), date(2026, 1, 30), DAY]
    assert flows.origins() == {Origin.BACKFILL}


def test_a_replay_stays_a_replay_down_the_chain(scheduler, flows):
    scheduler.run_day(DAY, Origin.REPLAY)
    assert flows.origins() == {Origin.REPLAY}


def test_a_permanent_error_fails_at_once_and_says_where_and_why(scheduler, flows, home):
    flows.errors["load"] = [BadData("web_orders/2026-01-31.csv: column sku is missing. Map it or send the file again.")]
    with pytest.raises(ChainFailed, match=r"ingest_sources.load failed: BadData: .*column sku is missing.*\nLog: "):
        scheduler.run_day(DAY)
    assert flows.days("load") == [DAY]
    assert flows.days("refresh") == []
    (failure,) = read_failures(load_settings())
    assert (failure["dag"], failure["task"], failure["day"]) == ("ingest_sources", "load", "2026-01-31")
    assert failure["error"] == "BadData"


def test_a_retryable_error_is_tried_again(impatient, scheduler, flows):
    flows.errors["score"] = [Retryable("The warehouse is busy: process 4711 writes.")]
    scheduler.run_day(DAY)
    assert flows.days("score") == [DAY, DAY]
    assert any("score_churn.score failed, and will be tried again" in line for line in scheduler.lines)
    assert read_failures(load_settings()) == []


def test_delivery_belongs_to_no_day(scheduler, flows):
    assert scheduler.deliver() == {"deliver_messages.deliver[1]": {"accepted": 2}}
