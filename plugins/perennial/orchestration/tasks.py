"""What surrounds the body of every task: its settings, its run, its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from perennial.foundation.days import Run
from perennial.foundation.errors import Permanent
from perennial.foundation.settings import Settings
from perennial.orchestration.connections import connected_settings
from perennial.orchestration.runs import run_of


@contextmanager
def task_settings() -> Iterator[Settings]:
    """Give a task that belongs to no day its settings. A Permanent error inside fails it at once, without retries."""
    from airflow.sdk.exceptions import AirflowFailException

    try:
        yield connected_settings()
    except Permanent as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error


@contextmanager
def task_run() -> Iterator[tuple[Run, Settings]]:
    """
    Give a task of the day chain its run and its settings, and send day and origin along with its outlets.

    A Permanent error inside fails the task at once, without retries.
    """
    from airflow.sdk import get_current_context

    with task_settings() as settings:
        context = get_current_context()
        dag_run = context["dag_run"]
        run = run_of(dag_run, settings)
        yield run, settings
        for asset in context["task"].outlets:
            event = context["outlet_events"][asset]
            event.extra = {"origin": run.origin.value, "day": run.day.isoformat()}
            if dag_run.partition_key is None:  # started by `airflow dags trigger --conf`, which knows no keys
                event.add_partitions(run.day.isoformat())
