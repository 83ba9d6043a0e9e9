from datetime import date, timedelta

import pytest

from perennial.foundation.settings import load_settings
from perennial.quality import days_like, festivals, freshness, load_intake_rules, reference, volume

MONDAY = date(2026, 3, 2)
RULES = load_intake_rules(load_settings())


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
    found = volume(MONDAY, rows, days_like(MONDAY, rows, (), RULES.usual), RULES.volume)
    assert (found.passed if found else None) is passed
    if found:
        assert (found.rule, found.severity, found.rows) == ("volume", "warning", today)
        assert found.detail == f"{today:,} rows; on {len(before)} Mondays before usually 100"


def test_festivals_are_neither_judged_nor_a_measure():
    rows = weeks_before(*[100] * 8) | {MONDAY: 0}
    assert days_like(MONDAY, rows, {MONDAY}, RULES.usual) == []
    quiet = {MONDAY - timedelta(weeks=number) for number in range(1, 5)}
    assert days_like(MONDAY, rows, quiet, RULES.usual) == [MONDAY - timedelta(weeks=number) for number in range(5, 9)]
    assert days_like(MONDAY, rows, quiet | {MONDAY - timedelta(weeks=5)}, RULES.usual) == []  # three weeks are left
    assert volume(MONDAY, rows, [], RULES.volume) is None


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


@pytest.mark.parametrize(
    ("rows", "unknown", "examples", "passed", "told"),
    [
        (50, 5, ["b1"], True, "sku: 5 of 50 rows are unknown to products.sku (10%)"),
        (50, 6, ["b1", "b2"], False, "sku: 6 of 50 rows are unknown to products.sku (12%), such as 'b1', 'b2'"),
        (5_000, 5_000, [], False, "sku: 5,000 of 5,000 rows are unknown to products.sku (100%)"),
    ],
)
def test_values_are_known_where_they_refer_to(rows, unknown, examples, passed, told):
    found = reference("sku", "products.sku", rows, unknown, examples, RULES.reference)
    assert (found.rule, found.severity, found.rows, found.failed) == ("reference", "warning", rows, unknown)
    assert (found.passed, found.detail) == (passed, told)


def test_few_references_tell_nothing():
    assert reference("sku", "products.sku", 49, 49, [], RULES.reference) is None
