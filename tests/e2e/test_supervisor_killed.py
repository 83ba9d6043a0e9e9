"""Airflow's supervisor of a task is killed while the task delivers: the task lives on, and the retry is beside it."""

import multiprocessing
import os
import signal
import time
from datetime import timedelta

import psutil
import pytest

from counting_sink import counting_sink
from outbox import CAMPAIGN, DAY, freeze, new_message, settings_in
from perennial.flows.delivery import recover
from perennial.foundation.days import Origin, Run
from perennial.ledger import open_ledger
from perennial.orchestration import DAG_DEFAULTS

MESSAGES = 3_000
_FORK = multiprocessing.get_context("fork")


def _supervise(workload):
    """What LocalExecutor's worker does with a task, but that the execution API is in this process."""
    from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor, supervise_task

    ended = supervise_task(
        ti=workload.ti,
        bundle_info=workload.bundle_info,
        dag_rel_path=workload.dag_rel_path,
        token=workload.token,
        client=InProcessTestSupervisor._api_client(),
    )
    os._exit(ended)


def deadly_executor(sink, tries, orphans):
    """Runs tasks under the real supervisor; the first one dies when the task has sent a hundred messages."""
    from airflow.executors.base_executor import BaseExecutor
    from airflow.utils.state import TaskInstanceState

    class DeadlyExecutor(BaseExecutor):
        is_local = True

        def _process_workloads(self, workloads):
            for workload in workloads:
                del self.queued_tasks[workload.ti.key]
                supervisor = _FORK.Process(target=_supervise, args=(workload,))
                supervisor.start()
                tries.append(workload.ti.try_number)
                if not orphans:
                    while sink.taken() < 100:
                        assert supervisor.is_alive(), "it ended before it sent anything"
                        time.sleep(0.005)
                    orphans.extend(psutil.Process(supervisor.pid).children())
                    os.kill(supervisor.pid, signal.SIGKILL)
                    assert orphans[0].is_running()
                supervisor.join()
                ended = TaskInstanceState.FAILED if supervisor.exitcode else TaskInstanceState.SUCCESS
                self.change_state(workload.ti.key, ended)

        def sync(self): ...

        def end(self): ...

    return DeadlyExecutor(parallelism=4)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setitem(DAG_DEFAULTS["default_args"], "retry_delay", timedelta(0))


@pytest.mark.slow
def test_the_task_goes_on_and_its_retry_sends_nothing_twice(impatient, scheduler, home, tmp_path, monkeypatch):
    tries, orphans = [], []
    with counting_sink(tmp_path / "taken") as sink:
        settings = settings_in(home, delivery="smtp", smtp_port=sink.port)
        for name, value in {"NOW": settings.now.isoformat(), "DELIVERY": "smtp", "SMTP_PORT": str(sink.port)}.items():
            monkeypatch.setenv(f"PERENNIAL_{name}", value)
        with open_ledger(settings) as ledger:
            freeze(ledger, settings, send=MESSAGES)
            rows = (new_message(number, settings) for number in range(MESSAGES))
            assert ledger.queue(Run(DAY, Origin.LIVE), CAMPAIGN, "smtp", rows) == MESSAGES
        scheduler.executor = lambda _: deadly_executor(sink, tries, orphans)
        scheduler.deliver()
        assert tries == [1, 2]
        [orphan] = orphans
        orphan.wait(60)
        copies = sink.copies()
    assert set(copies.values()) == {1}
    with open_ledger(settings) as ledger:
        recover(ledger, settings)
        counts = ledger.counts_by_state()
        unknown = set(ledger.unknown("smtp"))
    assert sum(counts.values()) == MESSAGES
    assert len(unknown) <= 1
    assert counts["accepted"] == MESSAGES - len(unknown) == len(set(copies) - unknown)
