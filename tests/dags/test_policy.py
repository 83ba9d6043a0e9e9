"""What holds for every DAG file."""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import run

import pytest

from perennial.foundation.settings import REPOSITORY, load_settings
from perennial.orchestration.chain import APPROVAL, DAY_CHAIN, DELIVERY
from perennial.orchestration.failures import record_failure
from perennial.orchestration.pools import pools

FILES = sorted((REPOSITORY / "dags").glob("*.py"))
DOC_PARTS = ("**Reads:**", "**Writes:**", "**If it fails:**", "**To rerun:**")


@pytest.fixture(scope="module")
def dags(airflow):
    from airflow.dag_processing.dagbag import BundleDagBag

    folder = REPOSITORY / "dags"
    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
    assert bag.import_errors == {}
    return bag.dags


@pytest.fixture(params=[file.stem for file in FILES])
def dag(request, dags):
    return dags[request.param]


def test_one_file_holds_one_dag_of_its_name(dags):
    assert sorted(dags) == [file.stem for file in FILES]
    assert {*DAY_CHAIN, DELIVERY, APPROVAL} <= set(dags)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_wiring_only(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert ast.get_docstring(ast.parse(text)).count("\n") < 10


def test_documentation_says_what_a_person_on_call_needs(dag):
    positions = [dag.doc_md.find(part) for part in DOC_PARTS]
    assert -1 not in positions, f"{dag.dag_id}: doc_md lacks one of {DOC_PARTS}"
    assert positions == sorted(positions)


def test_a_dag_is_owned_tagged_and_unpaused_and_never_catches_up(dag):
    assert dag.owner == "perennial"
    assert dag.tags
    assert not dag.catchup
    assert dag.is_paused_upon_creation is False
    assert dag.max_active_runs == 1


def test_every_task_retries_with_backoff_and_reports_its_failure(dag):
    for task in dag.tasks:
        assert task.retries == 2, task.task_id
        assert task.retry_exponential_backoff > 1, task.task_id
        assert task.max_retry_delay > task.retry_delay, task.task_id
        reports = task.on_failure_callback  # one for a mapped task, a list for others
        assert (list(reports) if isinstance(reports, Sequence) else [reports]) == [record_failure], task.task_id


def test_every_task_uses_a_pool_that_is_created(dag, tmp_path):
    known = pools(load_settings(home=tmp_path))
    assert {task.pool for task in dag.tasks} <= set(known), "a task whose pool is missing waits for ever"


def test_only_the_last_task_has_an_outlet_and_it_is_not_mapped(dag):
    """A consumer starts when the outlet task succeeds, and once for each index of a mapped one."""
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    for task in dag.tasks:
        if task.outlets:
            assert task.downstream_task_ids == set(), task.task_id
            assert not isinstance(task, MappedOperator), task.task_id


def test_a_task_after_a_mapped_one_also_runs_when_there_was_nothing_to_map(dag):
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    for task in dag.tasks:
        if any(isinstance(dag.get_task(name), MappedOperator) for name in task.upstream_task_ids):
            assert task.trigger_rule == "none_failed", task.task_id


def test_the_chain_follows_from_the_assets_alone(dags):
    """Each DAG updates one asset, and the next one waits for it and nothing else; approval is a branch that ends."""
    produced = {
        dag.dag_id: [asset.name for task in dag.tasks for asset in task.outlets]
        for dag in dags.values()
        if any(task.outlets for task in dag.tasks)
    }
    awaited = {
        dag.dag_id: [dag.timetable.asset_condition.name]
        for dag in dags.values()
        if getattr(dag.timetable, "asset_condition", None)
    }
    assert awaited.pop(APPROVAL) == produced["plan_campaigns"]
    assert APPROVAL not in produced
    chain = ["ingest_sources"]
    while following := [name for name, assets in awaited.items() if assets == produced[chain[-1]]]:
        assert len(following) == 1
        chain += following
    assert tuple(chain) == DAY_CHAIN
    assert set(awaited) == set(DAY_CHAIN[1:])


def test_days_follow_the_business_clock_and_nothing_follows_the_wall_clock_in_a_demo(monkeypatch):
    from perennial.orchestration import every_day, every_minute

    monkeypatch.setenv("PERENNIAL_TIMEZONE", "Asia/Shanghai")
    for now in (None, "2026-02-01T09:30:00+01:00"):
        if now:
            monkeypatch.setenv("PERENNIAL_NOW", now)
        for when in (every_day(), every_minute()):
            assert when["end_date"] == load_settings().now
    assert str(every_day()["schedule"].timezone) == "Asia/Shanghai"


HEAVY = ("great_expectations", "pandas", "altair", "sklearn", "scipy", "fastapi")
READ = """
import runpy, socket, sqlite3, sys, time
import airflow.sdk, duckdb
def refuse(*_): raise AssertionError("a DAG file opened a connection while it was read")
socket.socket.connect = duckdb.connect = sqlite3.connect = refuse
split = sys.argv.index("--")
for file in sys.argv[1:split]:
    started = time.process_time()
    runpy.run_path(file)
    print(file, time.process_time() - started, *(name for name in sys.argv[split:] if name in sys.modules))
"""


def test_reading_every_file_is_cheap_and_touches_nothing(airflow, tmp_path, monkeypatch, record_property):
    """No network, no database, nothing heavy imported, nothing written: Airflow reads every file again and again."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-c", READ, *map(str, FILES), "--", *HEAVY]
    done = run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        file, seconds, *imported = line.split()
        record_property(f"seconds to read {Path(file).name}", seconds)
        assert imported == [], file
        assert float(seconds) < 3, file
    assert not (tmp_path / "home").exists()
