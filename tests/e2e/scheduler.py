"""
The real scheduler in the test's own process, with an executor that runs each task on the spot.

Real: SchedulerJobRunner, partitions, pools, asset events, retries, the task runner and its execution API, the DAG
files. Not real: HTTP, processes. It uses private interfaces of Airflow 3.3.2 (`run_task_in_process`, `run_job`,
`sync_bag_to_db`, `_create_backfill`); `test_local_stack.py` covers the same ground with real processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from perennial.foundation.days import Origin
from perennial.foundation.settings import REPOSITORY, Settings, load_settings
from perennial.orchestration import components
from perennial.orchestration.chain import DAY_CHAIN, Chain, newest_run


class Scheduler:
    """Runs the DAGs of `dags/` for given days, in the home and under the clock of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

        self.monkeypatch = monkeypatch
        self.lines: list[str] = []  # what was reported while it ran
        self.executor = _inline_executor  # made anew of the bag of DAGs, each time that the scheduler works
        # Tests bring DAGs of their own: Airflow would take a changed one up half a minute after the last one only.
        monkeypatch.setenv("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "0")
        folder = REPOSITORY / "dags"
        components.prepare(load_settings())
        DagBundlesManager().sync_bundles_to_db()
        self.bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
        assert not self.bag.import_errors
        sync_bag_to_db(self.bag, "dags-folder", None)

    def run_day(self, day: date, origin: Origin = Origin.DEMO) -> dict[str, Any]:
        """
        Run the chain for `day` on the evening after it, and return what each task returned, by `dag.task[index]`.

        Raises ChainFailed, with the failed tasks and their errors.
        """
        chain = self._chain(self._evening_after(day))
        chain.run_day(day, origin)
        return chain.results()

    def deliver(self) -> dict[str, Any]:
        """Run `deliver_messages` once, and return what each task returned."""
        chain = self._chain(load_settings())
        chain.deliver()
        return chain.results()

    def backfill(self, first: date, last: date) -> dict[str, int]:
        """Backfill the days, as the button in Airflow's UI does; return the number of successful runs of each DAG."""
        from airflow.models.backfill import Backfill, ReprocessBehavior, _create_backfill
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session

        before = newest_run()
        _create_backfill(
            dag_id=DAY_CHAIN[0],
            from_date=datetime.combine(first, time(), UTC),
            to_date=datetime.combine(last, time(), UTC),
            max_active_runs=1,
            reverse=False,
            dag_run_conf={},
            triggering_user_name="test",
            reprocess_behavior=ReprocessBehavior.COMPLETED,
        )
        while True:
            self.work()
            with create_session() as session:
                runs = session.query(DagRun.dag_id, DagRun.state).filter(DagRun.id > before).all()
            assert "failed" not in {state for _, state in runs}, runs
            if {state for _, state in runs} == {"success"}:
                with create_session() as session:  # the scheduler notices the end after half a minute only
                    session.query(Backfill).filter(Backfill.completed_at.is_(None)).update(
                        {"completed_at": datetime.now(UTC)}
                    )
                return Counter(dag for dag, _ in runs)

    def work(self) -> None:
        """Let the scheduler work until it has nothing to do."""
        from airflow.jobs.job import Job, run_job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

        job = Job()
        runner = SchedulerJobRunner(
            job=job, num_runs=8, only_idle=True, scheduler_idle_sleep_time=0.05, executors=[self.executor(self.bag)]
        )
        run_job(job=job, execute_callable=runner._execute)

    def _chain(self, settings: Settings) -> Chain:
        return Chain(settings, self.lines.append, self.work, poll=0)

    def _evening_after(self, day: date) -> Settings:
        settings = load_settings()
        evening = datetime.combine(day + timedelta(days=1), time(23), settings.zone)
        self.monkeypatch.setenv("PERENNIAL_NOW", evening.isoformat())
        return load_settings()


def _inline_executor(bag: Any) -> Any:
    from airflow.executors.base_executor import BaseExecutor
    from airflow.sdk.execution_time.supervisor import run_task_in_process
    from airflow.utils.state import TaskInstanceState

    class InlineExecutor(BaseExecutor):
        is_local = True

        def _process_workloads(self, workloads: Sequence[Any]) -> None:
            for workload in workloads:
                del self.queued_tasks[workload.ti.key]
                run_task_in_process(ti=workload.ti, task=bag.dags[workload.ti.dag_id].get_task(workload.ti.task_id))
                # The task has told Airflow its own end; for the executor it is over.
                self.change_state(workload.ti.key, TaskInstanceState.SUCCESS)

        def sync(self) -> None: ...

        def end(self) -> None: ...

    return InlineExecutor(parallelism=4)
