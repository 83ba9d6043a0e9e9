from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.campaigns.contact_policy import QuietHours
from perennial.campaigns.send_time import not_before

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
NIGHT = QuietHours.model_validate({"from": "21:00", "to": "08:00"})


def at(text, zone):
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("day", "local_time", "quiet", "told"),
    [
        (date(2026, 3, 2), time(9), None, "2026-03-02T08:00Z"),
        (date(2026, 3, 29), time(9), None, "2026-03-29T07:00Z"),  # the clocks were put forward
        (date(2026, 3, 29), time(2, 30), None, "2026-03-29T01:30Z"),  # 3:30: there is no 2:30
        (date(2026, 10, 25), time(2, 30), None, "2026-10-25T00:30Z"),  # the first of two
        (date(2026, 3, 2), time(7, 59), NIGHT, "2026-03-02T07:00Z"),
        (date(2026, 3, 2), time(8), NIGHT, "2026-03-02T07:00Z"),
        (date(2026, 3, 2), time(20, 59), NIGHT, "2026-03-02T19:59Z"),
        (date(2026, 3, 2), time(21), NIGHT, "2026-03-03T07:00Z"),  # the next morning
        (date(2026, 3, 28), time(22), NIGHT, "2026-03-29T06:00Z"),
        (date(2026, 3, 2), time(13, 30), {"from": "13:00", "to": "15:00"}, "2026-03-02T14:00Z"),
        (date(2026, 3, 29), time(1, 30), {"from": "01:00", "to": "02:30"}, "2026-03-29T01:30Z"),  # ends in the gap
        (date(2026, 10, 25), time(1, 30), {"from": "01:00", "to": "02:30"}, "2026-10-25T01:30Z"),  # its second 2:30
    ],
)
def test_times_of_day_in_berlin(day, local_time, quiet, told):
    hours = QuietHours.model_validate(quiet) if isinstance(quiet, dict) else quiet
    assert not_before(day, local_time, BERLIN, hours) == datetime.fromisoformat(told)


def test_each_person_has_a_morning_of_their_own():
    assert not_before(date(2026, 3, 2), time(9), NEW_YORK) - not_before(date(2026, 3, 2), time(9), BERLIN) == timedelta(
        hours=6
    )


TIMES = st.times(timezones=st.none()).map(lambda one: one.replace(second=0, microsecond=0, fold=0))
ZONES = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "UTC"]
).map(ZoneInfo)
DAYS = st.one_of(
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.sampled_from([date(2026, 3, 8), date(2026, 3, 29), date(2026, 4, 5), date(2026, 10, 25), date(2026, 11, 1)]),
)


@settings(deadline=None, max_examples=300)
@given(day=DAYS, local_time=TIMES, zone=ZONES, begin=TIMES, end=TIMES)
def test_no_clock_on_the_wall_shows_a_quiet_hour_and_nothing_waits_longer_than_they_last(
    day, local_time, zone, begin, end
):
    quiet = QuietHours.model_validate({"from": f"{begin:%H:%M}", "to": f"{end:%H:%M}"})
    moment = not_before(day, local_time, zone, quiet)
    wall = moment.astimezone(zone).time()
    is_quiet = begin <= wall < end if begin <= end else wall >= begin or wall < end
    assert not is_quiet
    waited = moment - not_before(day, local_time, zone)
    assert timedelta(0) <= waited <= timedelta(hours=25, minutes=1)
