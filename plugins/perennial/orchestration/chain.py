"""Start the day chain in a running Airflow, and follow it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from perennial.foundation.days import Origin
from perennial.foundation.errors import PerennialError
from perennial.foundation.settings import Settings
from perennial.orchestration.environment import airflow_home
from perennial.orchestration.failures import read_failures

DAY_CHAIN = ("ingest_sources", "refresh_customers", "score_churn", "plan_campaigns", "publish_metrics")
DELIVERY = "deliver_messages"
APPROVAL = "approve_campaigns"

_SILENCE = 900.0  # seconds in which no task changes its state, after which the chain counts as stuck


class ChainFailed(PerennialError):
    """A DAG does not parse, a task failed, or nothing moves any more."""


@dataclass(frozen=True)
class TaskState:
    """One task of one run, as Airflow sees it now."""

    dag: str
    task: str
    index: str  # the source or campaign of a mapped task, else empty
    run_id: str
    map_index: int
    state: str
    seconds: float | None
    tries: int

    @property
    def name(self) -> str:
        return f"{self.dag}.{self.task}" + (f"[{self.index}]" if self.index else "")


class Chain:
    """The runs that one start of the chain caused. Not more than one is followed at a time."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None], alive: Callable[[], None], poll: float = 0.2
    ) -> None:
        """say: takes a line of progress; alive: raises if Airflow is not running any more; poll: seconds."""
        self.settings = settings
        self.say = say
        self.alive = alive
        self.poll = poll
        self._since = newest_run()
        self._seen: dict[tuple[str, str, int], tuple[str, int]] = {}

    def wait_for_dags(self, started: datetime) -> None:
        """Return when every DAG file has been read since `started`; raise ChainFailed for one that cannot be."""
        while True:
            self.alive()
            if errors := _import_errors():
                raise ChainFailed("\n".join(f"{file}:\n{trace}" for file, trace in errors.items()))
            if _dags_read_since(started) >= {*DAY_CHAIN, DELIVERY, APPROVAL}:
                return
            time.sleep(self.poll)

    def run_day(self, day: date, origin: Origin) -> None:
        """Start the chain for `day` and return when its last DAG has succeeded. Raises ChainFailed."""
        _trigger(DAY_CHAIN[0], day.isoformat(), {"origin": origin.value})
        self._follow(DAY_CHAIN[-1])

    def deliver(self) -> None:
        """Deliver what is queued, now. Raises ChainFailed."""
        _trigger(DELIVERY, None, {})
        self._follow(DELIVERY)

    def results(self) -> dict[str, Any]:
        """Return what every task returned, by `dag.task` or `dag.task[index]`."""
        values = _returned_since(self._since)
        states = {(s.run_id, s.dag, s.task, s.map_index): s.name for s in _tasks_since(self._since)}
        return {name: values[key] for key, name in states.items() if key in values}

    def _follow(self, last: str) -> None:
        changed = time.monotonic()
        while True:
            self.alive()
            for task in self._changes():
                changed = time.monotonic()
                self._report(task)
            runs = _runs_since(self._since)
            if "failed" in runs.values():
                raise ChainFailed(self._explain())
            if runs.get(last) == "success":
                return
            if time.monotonic() - changed > _SILENCE:
                raise ChainFailed(f"Nothing has moved for {_SILENCE:.0f} s. Runs: {runs}. Logs: {self._logs()}.")
            time.sleep(self.poll)

    def _changes(self) -> Iterator[TaskState]:
        for task in _tasks_since(self._since):
            key, now = (task.run_id, task.task, task.map_index), (task.state, task.tries)
            if self._seen.get(key) != now:
                self._seen[key] = now
                yield task

    def _report(self, task: TaskState) -> None:
        match task.state:
            case "running":
                self.say(f"  {task.name} ...")
            case "success":
                self.say(f"  {task.name} done in {task.seconds or 0:.1f} s")
            case "up_for_retry":
                self.say(f"  {task.name} failed, and will be tried again. Log: {self._log_of(task)}")
            case "failed" | "upstream_failed" | "skipped":
                self.say(f"  {task.name} {task.state.replace('_', ' ')}")

    def _explain(self) -> str:
        failures = {(f["run_id"], f["task"], f["map_index"]): f for f in read_failures(self.settings)}
        lines = []
        for task in _tasks_since(self._since):
            if task.state == "failed":
                failure = failures.get((task.run_id, task.task, task.map_index))
                why = f"{failure['error']}: {failure['message']}" if failure else "its process ended without a word"
                lines.append(f"{task.name} failed: {why}\nLog: {self._log_of(task)}")
        return "\n".join(lines) or f"A run failed without a failed task. Logs: {self._logs()}"

    def _logs(self) -> Path:
        return airflow_home(self.settings) / "logs"

    def _log_of(self, task: TaskState) -> Path:
        parts = [f"dag_id={task.dag}", f"run_id={task.run_id}", f"task_id={task.task}"]
        if task.map_index >= 0:
            parts.append(f"map_index={task.map_index}")
        return self._logs().joinpath(*parts, f"attempt={task.tries}.log")


# What follows reads and writes Airflow's metadata through its own models. They are not a public interface: the version
# is pinned in requirements, and tests/e2e runs all of it.


def _trigger(dag_id: str, partition_key: str | None, conf: dict[str, str]) -> None:
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.utils.types import DagRunTriggeredByType

    trigger_dag(dag_id, triggered_by=DagRunTriggeredByType.CLI, partition_key=partition_key, conf=conf)


def newest_run() -> int:
    """Return the number of the newest run; later runs have higher ones. 0 if there is none."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        newest = session.query(DagRun.id).order_by(DagRun.id.desc()).first()
    return newest[0] if newest else 0


def _runs_since(run: int) -> dict[str, str]:
    """The state of the newest run of each DAG, counting runs with a higher number than `run`."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = session.query(DagRun.dag_id, DagRun.state).filter(DagRun.id > run).order_by(DagRun.id).all()
    return {dag_id: str(state) for dag_id, state in rows}


def _tasks_since(run: int) -> list[TaskState]:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = (
            session.query(TaskInstance)
            .join(DagRun, (DagRun.dag_id == TaskInstance.dag_id) & (DagRun.run_id == TaskInstance.run_id))
            .filter(DagRun.id > run)
            .order_by(DagRun.id, TaskInstance.start_date)
            .all()
        )
        return [
            TaskState(
                dag=row.dag_id,
                task=row.task_id,
                index=row.rendered_map_index or ("" if row.map_index < 0 else str(row.map_index)),
                run_id=row.run_id,
                map_index=row.map_index,
                state=str(row.state or "waiting"),
                seconds=row.duration,
                tries=row.try_number,
            )
            for row in rows
        ]


def _returned_since(run: int) -> dict[tuple[str, str, str, int], Any]:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = session.query(XComModel).filter(XComModel.dag_run_id > run, XComModel.key == "return_value").all()
        return {(row.run_id, row.dag_id, row.task_id, row.map_index): XComModel.deserialize_value(row) for row in rows}


def _dags_read_since(moment: datetime) -> set[str]:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = session.query(DagModel.dag_id).filter(DagModel.last_parsed_time >= moment, DagModel.is_stale.is_(False))
        return {dag_id for (dag_id,) in rows}


def _import_errors() -> dict[str, str]:
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = session.query(ParseImportError.filename, ParseImportError.stacktrace).all()
    return {str(filename): str(stacktrace) for filename, stacktrace in rows}
