"""Whether each source brought what it usually brings, recorded beside the checks of its batches."""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from perennial.flows.raw_tables import CHECKS, as_arrow
from perennial.foundation.days import Run
from perennial.foundation.settings import Settings
from perennial.quality import (
    Check,
    IntakeRules,
    days_like,
    festivals,
    freshness,
    load_intake_rules,
    mix,
    reference,
    volume,
)
from perennial.sources import Source
from perennial.warehouse import Warehouse

log = logging.getLogger(__name__)

_OF_NO_BATCH = 0
_EXAMPLES = 3  # unknown values, the commonest


def judge_regularity(warehouse: Warehouse, sources: Collection[Source], run: Run, settings: Settings) -> None:
    """Judge what all sources brought until the end of the run's day; a second run of the day replaces the verdicts."""
    rules = load_intake_rules(settings)
    since = run.day - timedelta(weeks=rules.usual.weeks)
    days = warehouse.query("select distinct day from raw.files where day >= $since", since=since)["day"].to_pylist()
    for contract, column in {target for source in sources for target in _references(source).values()}:
        warehouse.tune(f"raw.{contract}", [column])  # PostgreSQL may else read it once for each value
    verdicts = []
    for source in sources:
        for check in _checks(warehouse, source, run.day, days, rules):
            if not check.passed:
                log.warning("%s, %s: %s: %s", run.day, source.name, check.rule, check.detail)
            of_source = {"source": source.name, "contract": source.contract.name, "day": run.day}
            verdicts.append(of_source | {"batch_id": _OF_NO_BATCH} | asdict(check))
    with warehouse.transaction():
        warehouse.execute(
            "delete from raw.checks where day = $day and batch_id = $batch", day=run.day, batch=_OF_NO_BATCH
        )
        warehouse.append("raw.checks", as_arrow(verdicts, CHECKS))


def _checks(
    warehouse: Warehouse, source: Source, day: date, days: Collection[date], rules: IntakeRules
) -> Iterator[Check]:
    since = max(day - timedelta(weeks=rules.usual.weeks), source.usual_from or date.min)
    rows = {other: 0 for other in days if other >= since} | _rows_by_day(warehouse, source, since)
    like = days_like(day, rows, festivals(source.country, {since.year, day.year}), rules.usual)
    yield from filter(None, [volume(day, rows, like, rules.volume), _freshness(warehouse, source, day)])
    if rows.get(day):
        yield from _mixes(warehouse, source, day, like, rules)
        yield from _unknown(warehouse, source, day, rules)


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


def _mixes(
    warehouse: Warehouse, source: Source, day: date, like: Collection[date], rules: IntakeRules
) -> Iterator[Check]:
    columns = [name for name, column in source.contract.columns.items() if column.mix]
    if not columns or not like:
        return
    counts: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    for row in warehouse.query(
        """
        select files.day, counts.column_name, counts.value, cast(sum(counts.rows) as bigint) as rows
        from raw.mix as counts
        inner join raw.files as files
            on counts.source = files.source and counts.file = files.file and counts.version = files.version
        where files.source = $source and files.day between $since and $day
        group by files.day, counts.column_name, counts.value
        """,
        source=source.name,
        since=min(like),
        day=day,
    ).to_pylist():
        counts[row["column_name"], row["day"]][row["value"]] = row["rows"]
    for column in columns:
        check = mix(column, counts[column, day], [counts[column, other] for other in like], rules.mix)
        if check:
            yield check


def _references(source: Source) -> dict[str, tuple[str, str]]:
    return {column: known for column, known in source.contract.references.items() if column in source.columns}


def _unknown(warehouse: Warehouse, source: Source, day: date, rules: IntakeRules) -> Iterator[Check]:
    for column, (contract, other) in _references(source).items():
        if warehouse.value(f"select 1 from raw.{contract} limit 1") is None:
            continue  # nobody brings what it refers to
        found = _referring(warehouse, source, day, column, f"raw.{contract}", other)
        is_personal = source.contract.columns[column].pii
        examples = [row["value"] for row in found if row["value"] is not None and not is_personal]
        check = reference(
            column, f"{contract}.{other}", found[0]["rows"], found[0]["unknown"], examples, rules.reference
        )
        if check:
            yield check


def _referring(
    warehouse: Warehouse, source: Source, day: date, column: str, known: str, other: str
) -> list[dict[str, Any]]:
    """Of the day's rows with a value how many there are, and how many are `unknown`, beside the commonest of those."""
    batches = warehouse.query(
        "select distinct batch_id from raw.files where source = $source and day = $day and accepted > 0",
        source=source.name,
        day=day,
    )["batch_id"]
    found: list[dict[str, Any]] = warehouse.query(
        f"""
        with referring as (
            select landed.{column} as value, count(*) as rows
            from raw.{source.contract.name} as landed
            inner join raw.files as files
                on landed._source = files.source and landed._file = files.file and landed._version = files.version
            where landed._batch_id in ({", ".join(map(str, batches.to_pylist()))})
                and files.source = $source and files.day = $day and landed.{column} is not null
            group by landed.{column}
        ),
        unknown as (
            select value, rows
            from referring
            where not exists (select 1 from {known} as known where known.{other} = referring.value)
        ),
        totals as (select cast(coalesce(sum(rows), 0) as bigint) as rows from referring)
        select totals.rows, unknown.value, cast(coalesce(sum(unknown.rows) over (), 0) as bigint) as unknown
        from totals left join unknown on true
        order by unknown.rows desc, unknown.value
        limit {_EXAMPLES}
        """,
        source=source.name,
        day=day,
    ).to_pylist()
    return found
