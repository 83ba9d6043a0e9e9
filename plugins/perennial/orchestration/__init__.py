"""Airflow's side of Perennial: what every DAG shares, the day of a run, pools, Connections, the local stack."""

from perennial.orchestration.connections import source_settings
from perennial.orchestration.defaults import (
    DAG_DEFAULTS,
    after,
    approval_question,
    every_day,
    every_five_minutes,
    every_minute,
)
from perennial.orchestration.pools import DELIVERY, LANDING, LEDGER, WAREHOUSE
from perennial.orchestration.tasks import task_run, task_settings

__all__ = [
    "DAG_DEFAULTS",
    "DELIVERY",
    "LANDING",
    "LEDGER",
    "WAREHOUSE",
    "after",
    "approval_question",
    "every_day",
    "every_five_minutes",
    "every_minute",
    "source_settings",
    "task_run",
    "task_settings",
]
