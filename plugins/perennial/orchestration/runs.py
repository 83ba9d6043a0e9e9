"""From an Airflow run to the business day it is about, and why it runs."""

from __future__ import annotations

import logging
from datetime import date, datetime
from typing import TYPE_CHECKING

from perennial.foundation import days
from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk.api.datamodels._generated import AssetEventDagRunReference
    from airflow.sdk.types import DagRunProtocol

log = logging.getLogger(__name__)


def day_of(dag_run: DagRunProtocol) -> date:
    """
    Return the business day of a run: its partition key, else `conf["day"]`.

    Raises BadConfig if it has neither, or if it is not a date.
    """
    key = dag_run.partition_key or (dag_run.conf or {}).get("day")
    if not key:
        raise BadConfig(
            f"Run {dag_run.run_id} of {dag_run.dag_id} has no day. Trigger it with a partition key such as 2026-01-31, "
            'or with the configuration {"day": "2026-01-31"}.'
        )
    try:
        return datetime.strptime(key, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no time zone
    except (TypeError, ValueError) as error:
        raise BadConfig(
            f"Run {dag_run.run_id} of {dag_run.dag_id}: day {key!r} is not a date such as 2026-01-31."
        ) from error


def run_of(dag_run: DagRunProtocol, settings: Settings) -> Run:
    """
    Say what a run of Airflow is to us. Only a run that is asked to send, for the clock's yesterday, may send.

    A run triggered by an asset event is asked what the event says in its extra.
    Raises BadConfig for a run without a day, a day that is not over, or an unknown `conf["origin"]`.
    """
    day = day_of(dag_run)
    asked = _asked_origin(dag_run, day)
    if not asked.may_queue:
        return days.run_of(day, settings, asked)
    allowed = days.run_of(day, settings)
    if asked is Origin.DEMO and allowed.origin is Origin.LIVE:  # asked to send to the demo's mailbox, never to people
        allowed = days.run_of(day, settings, Origin.REPLAY)
    if not allowed.origin.may_queue:
        log.warning("Day %s was started as %s, and is a replay now: it may not send.", day, asked)
    return allowed


def _asked_origin(dag_run: DagRunProtocol, day: date) -> Origin:
    match dag_run.run_type.value:
        case "scheduled":
            return Origin.LIVE
        case "backfill":
            return Origin.BACKFILL
        case "manual":
            return _stated_origin(dag_run)
        case "asset_triggered":
            return _carried_origin(dag_run.consumed_asset_events, day)
        case _:
            return Origin.REPLAY


def _stated_origin(dag_run: DagRunProtocol) -> Origin:
    stated = (dag_run.conf or {}).get("origin", Origin.REPLAY)
    try:
        return Origin(stated)
    except ValueError as error:
        known = ", ".join(Origin)
        raise BadConfig(
            f"Run {dag_run.run_id}: unknown origin {stated!r} in its configuration; use {known}."
        ) from error


def _carried_origin(events: list[AssetEventDagRunReference], day: date) -> Origin:
    """Several events, none, another day or an unknown word: nothing vouches for the run, so it is a replay."""
    if len(events) != 1:
        return Origin.REPLAY
    origin = events[0].extra.get("origin")
    if not isinstance(origin, str) or origin not in list(Origin) or events[0].extra.get("day") != day.isoformat():
        return Origin.REPLAY
    return Origin(origin)
