"""
Whether a source brings what it usually brings: rows as fresh as it promises, and as many as on the same weekday before.

Festivals are no usual days: nothing is expected of them, and they are no measure for others.
"""

from collections.abc import Collection, Mapping
from datetime import date, timedelta
from statistics import median

import holidays
from pydantic import Field

from perennial.contracts import Severity
from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings
from perennial.quality.gate import Check
from perennial.quality.mix import Mix

_WEEK = timedelta(weeks=1)


class Usual(Document):
    """See the file for what each number means."""

    weeks: int = Field(ge=1, le=52)
    at_least: int = Field(ge=2, le=52)


class Volume(Document):
    """See the file for what each number means."""

    from_rows: int = Field(ge=0)
    low: float = Field(ge=0, lt=1)
    high: float = Field(gt=1)


class Reference(Document):
    """See the file for what each number means."""

    from_rows: int = Field(ge=1)
    at_most: float = Field(ge=0, lt=1)


class IntakeRules(Document):
    """The intake rule book."""

    landed_days: int = Field(ge=30)
    unmended_days: int = Field(ge=1)
    usual: Usual
    volume: Volume
    mix: Mix
    reference: Reference


def load_intake_rules(settings: Settings) -> IntakeRules:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "intake.yaml"), IntakeRules)


def festivals(country: str, years: Collection[int]) -> frozenset[date]:
    """The public holidays of a country (ISO 3166), by sun and moon; none of an unknown one."""
    if country not in holidays.list_supported_countries():
        return frozenset()
    return frozenset(holidays.country_holidays(country, years=years))


def freshness(day: date, newest_day: date | None, stale_after: int) -> Check:
    """Whether the newest row in force is at most `stale_after` days older than `day`."""
    age = (day - newest_day).days if newest_day else None
    passed = age is not None and age <= stale_after
    told = "there is no row" if age is None else f"the newest row is of {newest_day}, {age} days before"
    return Check("fresh", Severity.WARNING, 0, int(not passed), passed, f"{told}; stale after {stale_after}")


def days_like(day: date, rows: Mapping[date, int], festive: Collection[date], rules: Usual) -> list[date]:
    """
    The same weekday of the weeks before, which tells what is usual; none for a festival, or where they are too few.

    `rows` has every day that was run, also those on which the source brought nothing.
    """
    before = [day - number * _WEEK for number in range(1, rules.weeks + 1)]
    found = [other for other in before if other in rows and other not in festive]
    return found if day not in festive and len(found) >= rules.at_least else []


def volume(day: date, rows: Mapping[date, int], like: Collection[date], rules: Volume) -> Check | None:
    """Whether the rows taken on `day` are about as many as on the days `like` it; None where nothing is usual."""
    if not like or (usual := median(rows[other] for other in like)) < rules.from_rows:
        return None
    found = rows.get(day, 0)
    passed = rules.low * usual <= found <= rules.high * usual
    detail = f"{found:,} rows; on {len(like)} {day:%A}s before usually {usual:,.0f}"
    return Check("volume", Severity.WARNING, found, int(not passed), passed, detail)


def reference(
    column: str, target: str, rows: int, unknown: int, examples: Collection[str], rules: Reference
) -> Check | None:
    """Whether about all of `rows` name in `column` what `target` (contract.column) knows; None for too few rows."""
    if rows < rules.from_rows:
        return None
    passed = unknown <= rules.at_most * rows
    such = f", such as {', '.join(map(repr, examples))}" if examples and not passed else ""
    detail = f"{column}: {unknown:,} of {rows:,} rows are unknown to {target} ({unknown / rows:.0%}){such}"
    return Check("reference", Severity.WARNING, rows, unknown, passed, detail)
