"""
The quality page: every source on one day, its files, every check that it is held to with its history, what was refused.

`QUERIES` says what it reads of the warehouse, on both engines; `render_quality` makes the page of the results. It shows
no values of rows: what checks say about themselves is masked where they are made.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from perennial.contracts import Contract, Expectation
from perennial.metrics.demands import OF_EVERY_SOURCE, demand, is_about_rows
from perennial.metrics.pages import render_page
from perennial.metrics.report import About
from perennial.metrics.shapes import Bar, Rows, Section, strip
from perennial.metrics.words import percent, plain, short_day, whole

if TYPE_CHECKING:
    import pyarrow as pa

HISTORY = 91  # days: 13 whole weeks
_FILES, _REASONS, _DETAILS = 25, 12, 3  # at most, of each source or check

# $day is the day of the page, $since the first of its history. Every result is ordered.
QUERIES = {
    "health": """
        select source, landed, current, superseded, duplicate, quarantined, held, refused, status, failing_check
        from marts.data_health
        where day = $day
        order by source
    """,
    "contracts": """
        select source, max(contract) as contract, max(day) as last_day
        from raw.files
        where day <= $day
        group by source
        order by source
    """,
    "days": """
        select distinct day
        from raw.checks
        where day between $since and $day
        order by day
    """,
    "checks": """
        select
            source, rule, day,
            min(case severity when 'critical' then 1 when 'warning' then 2 else 3 end) as severity,
            cast(sum(rows) as bigint) as rows, cast(sum(failed) as bigint) as failed,
            min(case when passed then 1 else 0 end) as passed, max(batch_id) as batch_id
        from raw.checks
        where day between $since and $day
        group by source, rule, day
        order by source, rule, day
    """,
    "details": f"""
        select source, rule, detail
        from (
            select
                source, rule, detail,
                row_number() over (partition by source, rule order by min(case when passed then 1 else 0 end), detail)
                    as place
            from raw.checks
            where day = $day and detail <> ''
            group by source, rule, detail
        ) as told
        where place <= {_DETAILS}
        order by source, rule, place
    """,
    # Those of the day, and those of its history that still wait for somebody to mend them.
    "files": f"""
        with newest as (
            select
                source, file, version, day, status, reason, rows, quarantined,
                row_number() over (partition by source, file order by version desc, batch_id desc) as age
            from raw.files
            where day between $since and $day
        ),
        shown as (
            select
                newest.source, newest.file, newest.version, newest.day, newest.status, newest.reason, newest.rows,
                coalesce(fates.current_rows, 0) as current, coalesce(fates.superseded_rows, 0) as superseded,
                case when newest.status = 'duplicate' then newest.rows else coalesce(fates.duplicate_rows, 0) end
                    as duplicate,
                case when newest.status = 'loaded' then newest.quarantined else 0 end as quarantined,
                case when newest.status = 'held' then newest.rows else coalesce(waits.waiting_rows, 0) end as held,
                case when newest.status = 'refused' then newest.rows else 0 end as refused,
                case
                    when newest.status in ('refused', 'held') then 1
                    when newest.status = 'loaded' and newest.quarantined > 0 then 2
                    when newest.status = 'duplicate' then 3
                    else 4
                end as trouble
            from newest
            left join core.file_fates as fates
                on newest.source = fates.source and newest.file = fates.file and newest.version = fates.version
            left join core.file_waits as waits
                on newest.source = waits.source and newest.file = waits.file and newest.version = waits.version
            where newest.day = $day or (newest.age = 1 and newest.status in ('refused', 'held'))
        ),
        placed as (
            select
                source, file, version, day, status, reason, rows, current, superseded, duplicate, quarantined, held,
                refused, count(*) over (partition by source) as files,
                row_number() over (partition by source order by trouble, day desc, file, version) as place
            from shown
        )
        select
            source, file, version, day, status, reason, rows, current, superseded, duplicate, quarantined, held,
            refused, files
        from placed
        where place <= {_FILES}
        order by source, place
    """,
    "quarantine": f"""
        with reasons as (
            select
                source, reasons, count(*) as rows, count(*) filter (where day = $day) as rows_of_day,
                count(distinct file) as files, min(day) as first_day, max(day) as last_day
            from quarantine.rows
            where day <= $day
            group by source, reasons
        ),
        placed as (
            select
                source, reasons, rows, rows_of_day, files, first_day, last_day,
                cast(sum(rows) over (partition by source) as bigint) as rows_of_source,
                row_number() over (partition by source order by rows desc, reasons) as place
            from reasons
        )
        select source, reasons, rows, rows_of_day, files, first_day, last_day, rows_of_source
        from placed
        where place <= {_REASONS}
        order by source, place
    """,
}

_SEVERITIES = {1: "critical", 2: "warning", 3: "info"}
_OF_NO_BATCH = 0  # verdicts about the day of a source, not about rows


@dataclass(frozen=True)
class _Rule:
    """What is known of a check before it is looked at."""

    name: str
    demand: str
    severity: str | None = None  # as the contract has it
    is_about_rows: bool = True


@dataclass(frozen=True)
class _Found:
    """The results of the queries, by source."""

    health: Mapping[str, Section]
    contracts: Mapping[str, Section]
    days: frozenset[date]
    checks: Mapping[str, Mapping[str, Rows]]  # source → rule → a row a day
    details: Mapping[tuple[str, str], list[str]]  # by source and rule
    files: Mapping[str, Rows]
    quarantine: Mapping[str, Rows]


def render_quality(
    tables: Mapping[str, "pa.Table"], sources: Iterable[str], contracts: Mapping[str, Contract], about: About
) -> str:
    """
    The quality page as one HTML page.

    `tables` are the results of QUERIES by name, `sources` the names of those that are configured: one that never
    brought anything is shown, too.
    """
    rows: dict[str, Rows] = {name: tables[name].to_pylist() for name in QUERIES}
    found = _by_source(rows)
    names = sorted({*sources, *found.contracts, *found.checks})
    sections = [_section(name, found, contracts, about.day) for name in names]
    return render_page(
        "quality.html.j2",
        about=about,
        sources=sections,
        states=Counter(section["status"] for section in sections),
        since=about.day - timedelta(days=HISTORY - 1),
        days=len(found.days),
    )


def _by_source(rows: Mapping[str, Rows]) -> _Found:
    checks: dict[str, dict[str, list[Section]]] = defaultdict(lambda: defaultdict(list))
    details: dict[tuple[str, str], list[str]] = defaultdict(list)
    files: dict[str, list[Section]] = defaultdict(list)
    quarantine: dict[str, list[Section]] = defaultdict(list)
    for row in rows["checks"]:
        checks[row["source"]][row["rule"]].append(row)
    for row in rows["details"]:
        details[row["source"], row["rule"]].append(row["detail"])
    for row in rows["files"]:
        files[row["source"]].append(row)
    for row in rows["quarantine"]:
        quarantine[row["source"]].append(row | {"reasons": ", ".join(json.loads(row["reasons"]))})
    return _Found(
        {row["source"]: row for row in rows["health"]},
        {row["source"]: row for row in rows["contracts"]},
        frozenset(row["day"] for row in rows["days"]),
        checks,
        details,
        files,
        quarantine,
    )


def _section(source: str, found: _Found, contracts: Mapping[str, Contract], day: date) -> Section:
    known = found.contracts.get(source)
    contract = contracts.get(known["contract"]) if known else None
    of_source = found.checks.get(source, {})
    suite = contract.expectations if contract else ()
    checks = [
        _check(rule, of_source.get(rule.name, ()), found.details.get((source, rule.name), []), found.days, day)
        for rule in _rules(suite, of_source)
    ]
    files = found.files.get(source, ())
    quarantine = found.quarantine.get(source, ())
    health = found.health.get(source)
    return {
        "name": source,
        "contract": contract,
        "last_day": known["last_day"] if known else None,
        "health": health,
        "status": health["status"] if health else "no files",
        "checks": checks,
        "failing": [check for check in checks if check["state"] == "failed" and check["severity"] != "info"],
        "files": files,
        "more_files": files[0]["files"] - len(files) if files else 0,
        "quarantine": quarantine,
        "more_quarantined": (
            quarantine[0]["rows_of_source"] - sum(row["rows"] for row in quarantine) if quarantine else 0
        ),
    }


def _rules(suite: Iterable[Expectation], checked: Iterable[str]) -> list[_Rule]:
    """First what every source is held to, where it was; then the suite in its order; then what is in neither."""
    written = [_Rule(rule.rule, demand(rule), rule.severity, is_about_rows(rule)) for rule in suite]
    names = {rule.name for rule in written}
    others = sorted(set(checked) - names - OF_EVERY_SOURCE.keys())
    return [
        *(_Rule(name, text) for name, text in OF_EVERY_SOURCE.items() if name in checked),
        *written,
        *(_Rule(name, f"{plain(name)}. It stands in no contract today.") for name in others),
    ]


def _check(rule: _Rule, history: Rows, details: list[str], run_days: frozenset[date], day: date) -> Section:
    by_day = {row["day"]: row for row in history}
    days = [day - timedelta(days=HISTORY - 1 - place) for place in range(HISTORY)]
    today = by_day.get(day)
    counted = today if today and today["rows"] else None
    newest = history[-1]["severity"] if history else None
    return {
        "rule": rule.name,
        "demand": rule.demand,
        "severity": rule.severity or _SEVERITIES[newest or 3],
        "state": "not checked" if today is None else "passed" if today["passed"] else "failed",
        "rows": counted["rows"] if counted else None,
        "failed": counted["failed"] if counted else None,
        "share": _share(rule, today) if today else None,
        "details": details,
        "strip": strip([_place(rule, by_day.get(one), was_run=one in run_days) for one in days]),
        "alt": _told(rule, history),
    }


def _share(rule: _Rule, row: Section) -> float | None:
    """The share of rows that broke it; None where it is no matter of rows."""
    is_verdict = not rule.is_about_rows or row["batch_id"] == _OF_NO_BATCH or (not row["passed"] and not row["failed"])
    if is_verdict or not row["rows"]:
        return None
    return float(row["failed"] / row["rows"])


def _place(rule: _Rule, row: Section | None, *, was_run: bool) -> Bar:
    """A day of the strip; what failed and is no matter of rows failed whole."""
    if row is None:
        return "silent" if was_run else None
    if row["passed"]:
        return 0.0
    share = _share(rule, row)
    return 1.0 if share is None else share


def _told(rule: _Rule, history: Rows) -> str:
    """The strip in words."""
    if not history:
        return "not checked in these 13 weeks"
    failures = [row["day"] for row in history if not row["passed"]]
    passes = [row["day"] for row in history if row["passed"]]
    checked = f"{whole(len(history))} day{'s' if len(history) > 1 else ''} checked"
    if not failures:
        return f"{checked}: all passed"
    worst = max(history, key=lambda row: (_share(rule, row) or 0, row["day"]))
    share = _share(rule, worst)
    most = f", at most {percent(share, 2)} on {short_day(worst['day'])}" if share else ""
    last = f"last passed {short_day(passes[-1])}" if passes else "never passed"
    return f"{checked}: {whole(len(failures))} failed{most}; first failed {short_day(failures[0])}, {last}"
