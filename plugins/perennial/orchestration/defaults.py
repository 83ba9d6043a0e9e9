"""What every DAG shares, and when DAGs run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from perennial.foundation.settings import load_settings
from perennial.orchestration.failures import record_failure

if TYPE_CHECKING:
    from airflow.sdk import Asset, CronPartitionTimetable, PartitionedAssetTimetable

DAY_FORMAT = "%Y-%m-%d"
_SETTINGS = load_settings()

DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "is_paused_upon_creation": False,  # events emitted while a consumer is paused are lost
    "end_date": _SETTINGS.now,  # under the demo clock nothing follows the wall clock: every schedule is over
    "default_args": {
        "owner": "perennial",
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": 3,
        "max_retry_delay": timedelta(minutes=10),
        "on_failure_callback": record_failure,
    },
}


def every_day() -> CronPartitionTimetable:
    """
    At midnight in the business time zone, for the day that just ended: the partition key.

    Midnight, because at another hour scheduled and manual runs of one day get different partition dates.
    """
    from airflow.sdk import CronPartitionTimetable

    return CronPartitionTimetable("0 0 * * *", timezone=_SETTINGS.timezone, run_offset=-1, key_format=DAY_FORMAT)


def every_minute() -> str:
    """Each minute by the wall clock."""
    return "* * * * *"


def after(asset: Asset) -> PartitionedAssetTimetable:
    """One run for each day for which `asset` was updated."""
    from airflow.sdk import PartitionedAssetTimetable, StartOfDayMapper

    return PartitionedAssetTimetable(
        assets=asset, default_partition_mapper=StartOfDayMapper(input_format=DAY_FORMAT, timezone=_SETTINGS.timezone)
    )
