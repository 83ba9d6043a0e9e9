"""Whether each source brought what it usually brings, recorded beside the checks of its batches."""

import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, timedelta

from perennial.flows.raw_tables import CHECKS, as_arrow
from perennial.foundation.days import Run
from perennial.foundation.settings import Settings
from perennial.quality import Check, festivals, freshness, load_intake_rules, volume
from perennial.sources import Source
from perennial.warehouse import Warehouse

log = logging.getLogger(__name__)

_OF_NO_BATCH = 0


def judge_regularity(warehouse: Warehouse, sources: Iterable[Source], run: Run, settings: Settings) -> None:
    """Judge what all sources brought until the end of the run's day; a second run of the day replaces the verdicts."""
    rules = load_intake_rules(settings).volume
    since = run.day - timedelta(weeks=rules.weeks)
    days = warehouse.query("select distinct day from raw.files where day >= $since", since=since)["day"].to_pylist()
    verdicts = []
    for source in sources:
        rows = dict.fromkeys(days, 0) | _rows_by_day(warehouse, source, since)
        festive = festivals(source.country, {since.year, run.day.year})
        checks = [volume(run.day, rows, festive, rules), _freshness(warehouse, source, run.day)]
        for check in filter(None, checks):
            if not check.passed:
                log.warning("%s, %s: %s: %s", run.day, source.name, check.rule, check.detail)
            of_source = {"source": source.name, "contract": source.contract.name, "day": run.day}
            verdicts.append(of_source | {"batch_id": _OF_NO_BATCH} | asdict(check))
    with warehouse.transaction():
        warehouse.execute(
            "delete from raw.checks where day = $day and batch_id = $batch", day=run.day, batch=_OF_NO_BATCH
        )
        warehouse.append("raw.checks", as_arrow(verdicts, CHECKS))


def _rows_by_day(warehouse: Warehouse, source: Source, since: date) -> dict[date, int]:
    taken = warehouse.query(
        "select day, cast(sum(accepted) as bigint) as rows from raw.files"
        " where source = $source and day >= $since group by day",
        source=source.name,
        since=since,
    )
    return {row["day"]: row["rows"] for row in taken.to_pylist()}


def _freshness(warehouse: Warehouse, source: Source, day: date) -> Check | None:
    if source.stale_after is None:
        return None
    newest = warehouse.value(
        "select max(least(coalesce(newest_day, day), $day)) from raw.files where source = $source and accepted > 0",
        source=source.name,
        day=day,
    )
    return freshness(day, newest if isinstance(newest, date) else None, source.stale_after)
