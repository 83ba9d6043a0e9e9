"""What happens when a task has finally failed: one line in a file that people and programs can follow."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from perennial.foundation.settings import Settings, load_settings

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)
FILE = "failures.jsonl"


def record_failure(context: Context) -> None:
    """
    Append the failure to `<home>/failures.jsonl`, and log it.

    Airflow calls it in the task's process, or, for a task that was killed, in the DAG processor without an exception.
    """
    settings = load_settings()
    failure = failure_of(context)
    log.error("%(dag)s.%(task)s failed for day %(day)s: %(error)s: %(message)s", failure)
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(failure) + "\n")


def failure_of(context: Context) -> dict[str, Any]:
    """What failed, when and why. A Permanent error is reported as itself, not as the AirflowFailException around it."""
    instance = context["task_instance"]
    error = context.get("exception")
    if isinstance(error, BaseException) and type(error).__name__ == "AirflowFailException" and error.__cause__:
        error = error.__cause__
    run = context.get("dag_run")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dag": instance.dag_id,
        "task": instance.task_id,
        "map_index": instance.map_index,
        "run_id": instance.run_id,
        "day": (run.partition_key or (run.conf or {}).get("day")) if run else None,
        "try": instance.try_number,
        "error": type(error).__name__ if isinstance(error, BaseException) else "Killed",
        "message": str(error) if error else "The process of the task is gone; its log says how far it came.",
    }


def read_failures(settings: Settings) -> list[dict[str, Any]]:
    """Every recorded failure, oldest first."""
    path = settings.home / FILE
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
