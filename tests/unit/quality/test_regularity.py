from datetime import date, timedelta

import pytest

from perennial.foundation.settings import load_settings
from perennial.quality import festivals, freshness, load_intake_rules, volume

MONDAY = date(2026, 3, 2)
RULES = load_intake_rules(load_settings()).volume


def weeks_before(*rows):
    """Rows of the same weekday, the last week first; every other day has many."""
    days = {MONDAY - timedelta(days): 9_999 for days in range(1, 70)}
    return days | {MONDAY - timedelta(weeks=number): found for number, found in enumerate(rows, 1)}


@pytest.mark.parametrize(
    ("before", "today", "passed"),
    [
        ([100, 100, 100, 100], 100, True),
        ([100, 100, 100, 100], 40, True),
        ([100, 100, 100, 100], 39, False),
        ([100, 100, 100, 100], 250, True),
        ([100, 100, 100, 100], 251, False),
        ([100, 100, 100, 100], 0, False),
        ([5_000, 100, 100, 100, 0], 100, True),  # once a backlog, once nothing: the middle counts
        ([100, 100, 100], 0, None),  # too few weeks
        ([40, 40, 40, 40], 0, None),  # too few rows
    ],
)
def test_as_many_rows_as_on_the_same_weekday_before(before, today, passed):
    weeks = [MONDAY - timedelta(weeks=number) for number in range(1, 9)]
    rows = {
        day: found
        for day, found in (weeks_before(*before) | {MONDAY: today}).items()
        if day not in weeks[len(before) :]
    }
    found = volume(MONDAY, rows, (), RULES)
    assert (found.passed if found else None) is passed
    if found:
        assert (found.rule, found.severity, found.rows) == ("volume", "warning", today)
        assert found.detail == f"{today:,} rows; on {len(before)} Mondays before usually 100"


def test_festivals_are_neither_judged_nor_a_measure():
    rows = weeks_before(*[100] * 8) | {MONDAY: 0}
    assert volume(MONDAY, rows, {MONDAY}, RULES) is None
    quiet = {MONDAY - timedelta(weeks=number) for number in range(1, 6)}
    assert volume(MONDAY, rows, quiet, RULES) is None  # three weeks are left
    assert volume(MONDAY, rows, set(), RULES).passed is False


def test_festivals_go_by_the_country_and_its_moon():
    assert date(2026, 12, 25) in festivals("DE", {2026})
    assert date(2026, 2, 17) in festivals("CN", {2025, 2026})  # Spring Festival
    assert date(2026, 2, 17) not in festivals("DE", {2026})
    assert festivals("", {2026}) == festivals("ZZ", {2026}) == frozenset()


@pytest.mark.parametrize(
    ("newest", "passed", "told"),
    [
        (MONDAY, True, "the newest row is of 2026-03-02, 0 days before; stale after 2"),
        (date(2026, 2, 28), True, "the newest row is of 2026-02-28, 2 days before; stale after 2"),
        (date(2026, 2, 27), False, "the newest row is of 2026-02-27, 3 days before; stale after 2"),
        (None, False, "there is no row; stale after 2"),
    ],
)
def test_rows_are_as_fresh_as_promised(newest, passed, told):
    found = freshness(MONDAY, newest, stale_after=2)
    assert (found.rule, found.severity, found.passed, found.detail) == ("fresh", "warning", passed, told)
