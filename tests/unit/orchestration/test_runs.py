"""Which day a run of Airflow is about, and whether it may send."""

from datetime import date
from enum import Enum
from types import SimpleNamespace

import pytest

from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings
from perennial.orchestration.runs import day_of, run_of

YESTERDAY, EARLIER, TODAY = date(2026, 1, 31), date(2026, 1, 30), date(2026, 2, 1)


class RunType(Enum):
    SCHEDULED = "scheduled"
    MANUAL = "manual"
    BACKFILL_JOB = "backfill"
    ASSET_TRIGGERED = "asset_triggered"
    ASSET_MATERIALIZATION = "asset_materialization"
    OPERATOR_TRIGGERED = "operator_triggered"


def dag_run(run_type=RunType.SCHEDULED, day=YESTERDAY, conf=None, events=()):
    return SimpleNamespace(
        dag_id="plan_campaigns",
        run_id="run-1",
        run_type=run_type,
        partition_key=day.isoformat() if day else None,
        conf=conf,
        consumed_asset_events=[SimpleNamespace(extra=extra) for extra in events],
    )


def carried(*origins, day=YESTERDAY, by=YESTERDAY):
    return dag_run(RunType.ASSET_TRIGGERED, day, events=[{"origin": o, "day": by.isoformat()} for o in origins])


@pytest.fixture
def demo(tmp_path):
    return load_settings(home=tmp_path, now="2026-02-01T09:30:00+01:00")


@pytest.fixture
def live(demo, monkeypatch):
    """The same moment, by the real clock."""
    monkeypatch.setattr("perennial.foundation.days.current_time", lambda _: demo.now)
    return load_settings(home=demo.home)


def test_the_day_is_the_partition_key_and_then_the_configuration():
    assert day_of(dag_run(day=YESTERDAY, conf={"day": "2020-01-01"})) == YESTERDAY
    assert day_of(dag_run(day=None, conf={"day": "2026-01-31"})) == YESTERDAY


@pytest.mark.parametrize("conf", [None, {}, {"origin": "live"}])
def test_a_run_without_a_day_is_refused(conf):
    with pytest.raises(BadConfig, match=r"run-1 of plan_campaigns has no day\. Trigger it with a partition key"):
        day_of(dag_run(day=None, conf=conf))


@pytest.mark.parametrize("day", ["31.01.2026", "2026-02-30", "yesterday", 20260131])
def test_a_day_that_is_no_date_is_refused(day):
    with pytest.raises(BadConfig, match=str(day)):
        day_of(dag_run(day=None, conf={"day": day}))


def test_a_day_that_is_not_over_is_refused(live, demo):
    for settings in (live, demo):
        with pytest.raises(BadConfig, match="2026-02-01 is not over"):
            run_of(dag_run(day=TODAY), settings)


def test_the_schedule_is_live_for_yesterday_and_a_replay_when_it_comes_late(live):
    assert run_of(dag_run(), live) == Run(YESTERDAY, Origin.LIVE)
    assert run_of(dag_run(day=EARLIER), live) == Run(EARLIER, Origin.REPLAY)


def test_under_the_demo_clock_nothing_is_live(demo):
    assert run_of(dag_run(), demo).origin is Origin.DEMO
    assert run_of(dag_run(RunType.MANUAL, conf={"origin": "live"}), demo).origin is Origin.DEMO
    assert run_of(carried("live"), demo).origin is Origin.DEMO


@pytest.mark.parametrize(
    ("conf", "origin"),
    [
        (None, Origin.REPLAY),
        ({}, Origin.REPLAY),
        ({"day": "2026-01-31"}, Origin.REPLAY),
        ({"origin": "replay"}, Origin.REPLAY),
        ({"origin": "backfill"}, Origin.BACKFILL),
        ({"origin": "live"}, Origin.LIVE),
        ({"origin": "demo"}, Origin.REPLAY),  # asked for the demo's mailbox; must not reach people
    ],
)
def test_a_manual_run_sends_only_when_it_says_so(live, conf, origin):
    assert run_of(dag_run(RunType.MANUAL, conf=conf), live).origin is origin


def test_asking_to_send_an_older_day_gives_a_replay(live, caplog):
    assert run_of(dag_run(RunType.MANUAL, EARLIER, {"origin": "live"}), live).origin is Origin.REPLAY
    assert "may not send" in caplog.text


def test_an_unknown_origin_is_refused(live):
    with pytest.raises(BadConfig, match=r"unknown origin 'lve'.* use live, demo, backfill, replay"):
        run_of(dag_run(RunType.MANUAL, conf={"origin": "lve"}), live)


@pytest.mark.parametrize("day", [YESTERDAY, EARLIER])
def test_a_backfill_never_sends_whatever_it_says(live, day):
    run = dag_run(RunType.BACKFILL_JOB, day, {"origin": "live"})
    assert run_of(run, live) == Run(day, Origin.BACKFILL)


@pytest.mark.parametrize("origin", Origin)
def test_one_event_carries_its_origin(live, origin):
    expected = Origin.REPLAY if origin is Origin.DEMO else origin
    assert run_of(carried(origin.value), live).origin is expected


@pytest.mark.parametrize(
    "run",
    [
        carried(),
        carried("live", "live"),
        carried("live", "backfill"),
        carried("live", by=EARLIER),
        carried("LIVE"),
        carried(None),
        carried(["live"]),
        dag_run(RunType.ASSET_TRIGGERED, events=[{}]),
        dag_run(RunType.ASSET_TRIGGERED, conf={"origin": "live"}),
        dag_run(RunType.ASSET_MATERIALIZATION, conf={"origin": "live"}),
        dag_run(RunType.OPERATOR_TRIGGERED, conf={"origin": "live"}),
    ],
    ids=["none", "two", "mixed", "other day", "unknown", "null", "a list", "no extra", "conf", "material", "operator"],
)
def test_whatever_nothing_vouches_for_is_a_replay(live, run):
    assert run_of(run, live) == Run(YESTERDAY, Origin.REPLAY)


def test_a_chain_that_crosses_midnight_stops_being_live(live):
    assert run_of(carried("live", day=EARLIER, by=EARLIER), live) == Run(EARLIER, Origin.REPLAY)
