"""What runs in the local stack: one preparation, and the three Airflow processes that a chain needs."""

from __future__ import annotations

import importlib
import os
import urllib.request
from http import HTTPStatus
from typing import Any

from perennial.foundation.settings import Settings
from perennial.orchestration.pools import create_pools

# What tasks import, loaded once before the scheduler forks its workers: great_expectations alone costs a task eight
# seconds. `make up` therefore has to be started again to see changed code; DAG files are read anew all the time.
PRELOADED = (
    "great_expectations",
    "duckdb_sqlalchemy",
    "perennial.flows.day",
    "airflow.sdk.execution_time.task_runner",
)


def prepare(settings: Settings) -> None:
    """Bring the metadata database up to date, create the pools, and close what an earlier, killed stack left open."""
    from airflow.utils.db import initdb

    initdb()
    create_pools(settings)
    _close_leftovers()


def scheduler() -> None:
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "INFO"  # for tasks: they say what they did
    for name in PRELOADED:
        importlib.import_module(name)
    _airflow("scheduler", "--skip-serve-logs")


def dag_processor() -> None:
    _airflow("dag-processor")


def api_server(*, with_ui: bool) -> None:
    _airflow("api-server", "--apps", "all" if with_ui else "execution")


def api_answers(url: str) -> bool:
    """Whether the API server is ready. Airflow builds its routes at the first request, for seconds: this is the one."""
    try:
        with urllib.request.urlopen(f"{url}health", timeout=60) as answer:  # noqa: S310 - our own address
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _airflow(*arguments: str) -> None:
    """Do what `airflow <arguments>` does, without starting another Python."""
    from airflow.cli.cli_parser import get_parser

    command: Any = get_parser().parse_args(arguments)
    command.func(command)


def _close_leftovers() -> None:
    """
    Fail whatever says it is running, and forget events nobody consumed: all of it belongs to processes that are gone.

    Every start runs its day anew, so nothing is lost; left alone, dead tasks would keep their pool slots for minutes.
    """
    from airflow.models.asset import AssetPartitionDagRun
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import State

    unfinished = TaskInstance.state.is_(None) | TaskInstance.state.in_([state for state in State.unfinished if state])
    with create_session() as session:
        session.query(DagRun).filter(DagRun.state.in_(State.unfinished_dr_states)).update({"state": "failed"})
        session.query(TaskInstance).filter(unfinished).update({"state": "failed"})
        session.query(AssetPartitionDagRun).filter(AssetPartitionDagRun.created_dag_run_id.is_(None)).delete()
