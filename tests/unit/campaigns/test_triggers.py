from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.campaigns.festivals import FestivalBook, load_festivals
from perennial.campaigns.triggers import Trigger, due_days, due_on
from perennial.foundation.settings import REPOSITORY, load_settings

BOOK = load_festivals(load_settings(include=REPOSITORY / "include"))
DAY = date(2026, 3, 1)  # a Sunday


def found(trigger, send_day, planned_until):
    due = due_on(trigger, send_day, planned_until, BOOK)
    return due and due.occurrence


@pytest.mark.parametrize(
    ("name", "country", "days"),
    [
        ("Spring Festival", None, [date(2026, 2, 17), date(2027, 2, 6), date(2028, 1, 26)]),
        ("Lantern Festival", None, [date(2026, 3, 3), date(2027, 2, 20), date(2028, 2, 9)]),
        ("Qixi", None, [date(2026, 8, 19), date(2027, 8, 8), date(2028, 8, 26)]),
        ("Mid-Autumn Festival", None, [date(2026, 9, 25), date(2027, 9, 15), date(2028, 10, 3)]),
        ("Double Eleven", "CN", [date(2026, 11, 11), date(2027, 11, 11), date(2028, 11, 11)]),
        ("Black Friday", None, [date(2026, 11, 27), date(2027, 11, 26), date(2028, 11, 24)]),
        ("Mother's Day", None, [date(2026, 5, 10), date(2027, 5, 9), date(2028, 5, 14)]),
        ("Thanksgiving Day", "US", [date(2026, 11, 26), date(2027, 11, 25), date(2028, 11, 23)]),
        ("National Day", "CN", [date(2026, 10, 1), date(2027, 10, 1), date(2028, 10, 1)]),  # the first of several days
        ("chinese new year", "CN", [date(2026, 2, 17), date(2027, 2, 6), date(2028, 1, 26)]),
    ],
)
def test_festivals_by_sun_moon_weekday_and_country(name, country, days):
    assert [day for year in (2026, 2027, 2028) for day in BOOK.days(name, country, year)] == days


def test_a_lunar_day_may_be_twice_in_a_year_or_never():
    """Laba of the year that ends in January 2025 has the same Western year as none, then one, then two."""
    counts = {year: len(BOOK.days("Laba Festival", None, year)) for year in range(2019, 2032)}
    assert sum(counts.values()) == 13
    assert set(counts.values()) == {0, 1, 2}


def test_a_festival_is_written_to_days_before_also_over_the_turn_of_the_year():
    trigger = Trigger.model_validate({"holiday": {"name": "New Year's Day", "country": "DE", "days_before": 3}})
    days = list(due_days(trigger, date(2026, 12, 1), date(2027, 1, 31), BOOK))
    assert [(due.day, due.occurrence) for due in days] == [(date(2026, 12, 29), "New Year's Day 2027")]


def test_a_missed_day_is_made_up_for_while_it_is_good_and_not_before_there_was_a_plan():
    trigger = Trigger.model_validate({"schedule": "0 9 * * 1", "good_for_days": 3})
    monday = date(2026, 3, 2)
    days = [monday + timedelta(days=ahead) for ahead in range(4)]
    assert [found(trigger, day, DAY) for day in days] == ["2026-03-02"] * 3 + [None]
    assert [found(trigger, day, day - timedelta(days=1)) for day in days] == ["2026-03-02", None, None, None]
    assert [found(trigger, day, None) for day in days] == ["2026-03-02", None, None, None]


SCHEDULES = st.sampled_from(["0 9 * * *", "0 9 * * 1", "0 9 * * 1,3,4", "0 9 1,15 * *", "30 7 * * 6"])


@settings(deadline=None, max_examples=60)
@given(schedule=SCHEDULES, good_for=st.integers(1, 9), planned=st.lists(st.booleans(), min_size=40, max_size=40))
def test_whatever_days_are_missed_no_occurrence_comes_twice_or_late_and_none_is_lost_on_its_day(
    schedule, good_for, planned
):
    trigger = Trigger.model_validate({"schedule": schedule, "good_for_days": good_for})
    due = {day.day for day in due_days(trigger, DAY, DAY + timedelta(days=39), FestivalBook(festivals={}))}
    decided, planned_until = {}, None
    for day in (DAY + timedelta(days=ahead) for ahead, is_planned in enumerate(planned) if is_planned):
        occurrence = found(trigger, day, planned_until)
        if occurrence is not None:
            assert occurrence not in decided
            decided[occurrence] = day
            assert date.fromisoformat(occurrence) in due
            assert timedelta(0) <= day - date.fromisoformat(occurrence) < timedelta(days=good_for)
        elif planned_until is not None:
            missed = {planned_until + timedelta(days=ahead + 1) for ahead in range((day - planned_until).days)}
            assert not any(day - one < timedelta(days=good_for) for one in missed & due)
        assert day not in due or decided.get(day.isoformat()) == day
        planned_until = day
