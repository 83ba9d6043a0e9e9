"""What every DAG shares, and when DAGs run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from perennial.foundation.days import APPROVAL_COUNTS_FOR
from perennial.foundation.settings import load_settings
from perennial.orchestration.failures import record_failure
from perennial.orchestration.pools import LEDGER

if TYPE_CHECKING:
    from airflow.sdk import Asset, PartitionedAssetTimetable, XComArg
    from airflow.sdk.definitions.mappedoperator import MappedOperator

DAY_FORMAT = "%Y-%m-%d"

DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "is_paused_upon_creation": False,  # events emitted while a consumer is paused are lost
    "default_args": {
        "owner": "perennial",
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": 3,
        "max_retry_delay": timedelta(minutes=10),
        "on_failure_callback": record_failure,
    },
}


def every_day() -> dict[str, Any]:
    """
    At midnight in the business time zone, for the day that just ended: the partition key.

    Midnight, because at another hour scheduled and manual runs of one day get different partition dates.
    """
    from airflow.sdk import CronPartitionTimetable

    settings = load_settings()
    timetable = CronPartitionTimetable("0 0 * * *", timezone=settings.timezone, run_offset=-1, key_format=DAY_FORMAT)
    return {"schedule": timetable, "end_date": settings.now}


def every_minute() -> dict[str, Any]:
    """Each minute. Like every schedule it ends at the demo clock: under it nothing may follow the wall clock."""
    return {"schedule": "* * * * *", "end_date": load_settings().now}


def every_five_minutes() -> dict[str, Any]:
    """The same, each five minutes."""
    return every_minute() | {"schedule": "*/5 * * * *"}


def after(asset: Asset) -> PartitionedAssetTimetable:
    """One run for each day for which `asset` was updated."""
    from airflow.sdk import PartitionedAssetTimetable, StartOfDayMapper

    mapper = StartOfDayMapper(input_format=DAY_FORMAT, timezone=load_settings().timezone)
    return PartitionedAssetTimetable(assets=asset, default_partition_mapper=mapper)


def approval_question(task_id: str, asked: XComArg) -> MappedOperator:
    """One question for each of `asked` (subject, body), answered by Approve or Reject; by itself Reject in the end."""
    from airflow.providers.standard.operators.hitl import HITLOperator

    return HITLOperator.partial(
        task_id=task_id,
        options=["Approve", "Reject"],
        defaults="Reject",
        response_timeout=APPROVAL_COUNTS_FOR,
        pool=LEDGER,
    ).expand_kwargs(asked.map(_question))


def _question(request: dict[str, str]) -> dict[str, str]:
    return {"subject": request["subject"], "body": request["body"]}
