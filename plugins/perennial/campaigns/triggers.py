"""
What makes somebody a candidate of a campaign, and the days on which a campaign is due for everybody.

A candidate has an *occurrence*: which of the times that could be it is. Each is decided once. A day on which the
pipeline was down is made up for: an occasion is good for some days.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal, Self

from croniter import CroniterBadDateError, croniter
from pydantic import AfterValidator, Field, model_validator

from perennial.campaigns.festivals import FestivalBook
from perennial.foundation.documents import Document

MAX_GOOD_FOR = 30  # days; decisions that say what was decided are kept longer
GOOD_FOR = 3
DateField = Literal["birthday", "signup_date", "first_order_date"]


def _cron(expression: str) -> str:
    if len(expression.split()) != 5:
        raise ValueError("a schedule has 5 fields: minute hour day-of-month month day-of-week")
    try:
        _first_after(expression, datetime(2026, 1, 1))  # noqa: DTZ001 - a calendar day, in no zone
    except CroniterBadDateError as error:
        raise ValueError("this schedule never comes") from error
    return expression


def _first_after(expression: str, moment: datetime) -> date:
    found: datetime = croniter(expression, moment).get_next(datetime)
    return found.date()


class SegmentChange(Document):
    segment: str


class Event(Document):
    """Something a person did: a kind of interaction, or `order`, a completed order."""

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    channel: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]*$")
    days_after: int = Field(default=0, ge=0, le=90)


class Anniversary(Document):
    field: DateField
    days_before: int = Field(default=0, ge=0, le=60)


class Holiday(Document):
    name: str = Field(min_length=1, description="As in rules/festivals.yaml, or a public holiday of the country.")
    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    days_before: int = Field(default=0, ge=0, le=60)


class TierChange(Document):
    change: Literal["upgrade", "downgrade"]


class PointsExpiring(Document):
    within_days: int = Field(ge=1, le=90)


class Replenishment(Document):
    """A person's own cycle, the median gap between days on which they bought the same: three of them are needed."""

    per: Literal["category", "product"] = "product"
    days_before: int = Field(default=0, ge=0, le=30)


class AbandonedCart(Document):
    after_hours: int = Field(ge=1, le=72, description="Counted to the end of the day that is planned by.")


class Unless(Document):
    """What ends a sequence for a person."""

    ordered: bool = Field(default=False, description="Since the mail before.")
    opened: bool = Field(default=False, description="The mail before.")
    clicked: bool = Field(default=False, description="In the mail before.")
    where: str | None = Field(default=None, description="A condition over the person, as in `audience`.")


class After(Document):
    """A step of a sequence: so many days after another campaign's mail was accepted."""

    campaign: str
    days: int = Field(ge=1, le=90)
    unless: Unless = Unless()


class Trigger(Document):
    """Exactly one of them."""

    schedule: Annotated[str, AfterValidator(_cron)] | None = Field(
        default=None, description="Cron. Its day part says on which days it is due; the time of day is `send_at`."
    )
    holiday: Holiday | None = None
    on_enter: SegmentChange | None = None
    on_exit: SegmentChange | None = None
    on_event: Event | None = None
    on_date: Anniversary | None = None
    on_tier_change: TierChange | None = None
    points_expiring: PointsExpiring | None = None
    replenishment_due: Replenishment | None = None
    abandoned_cart: AbandonedCart | None = None
    after: After | None = None
    good_for_days: int | None = Field(
        default=None,
        ge=1,
        le=MAX_GOOD_FOR,
        description="How long an occasion is made up for when the pipeline was down. Default: 3, a birthday's 1.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        kinds = [name for name in type(self).model_fields if name != "good_for_days" and getattr(self, name)]
        if len(kinds) != 1:
            known = ", ".join(name for name in type(self).model_fields if name != "good_for_days")
            raise ValueError(f"name exactly one of {known}; found {', '.join(kinds) or 'none'}")
        return self

    @property
    def good_for(self) -> int:
        """Days on which an occasion may be decided, its own included."""
        on_birthday = self.on_date is not None and self.on_date.field == "birthday"
        return self.good_for_days or (1 if on_birthday else GOOD_FOR)

    @property
    def window(self) -> timedelta:
        """The same as a time."""
        return timedelta(days=self.good_for)

    @property
    def is_by_calendar(self) -> bool:
        """Whether it comes for everybody on the same day."""
        return self.schedule is not None or self.holiday is not None


@dataclass(frozen=True)
class DueDay:
    """A day on which a campaign is due for its whole audience."""

    day: date
    occurrence: str


def due_days(trigger: Trigger, first: date, last: date, book: FestivalBook) -> Iterator[DueDay]:
    """The days from `first` to `last` on which a trigger by calendar is due, in order."""
    if trigger.schedule is not None:
        day = _first_after(trigger.schedule, datetime.combine(first, time()) - timedelta(seconds=1))
        while day <= last:
            yield DueDay(day, day.isoformat())
            day = _first_after(trigger.schedule, datetime.combine(day, time.max))
    if (holiday := trigger.holiday) is not None:
        ahead = timedelta(days=holiday.days_before)
        for year in range((first + ahead).year, (last + ahead).year + 1):
            for day in book.days(holiday.name, holiday.country, year):
                if first <= day - ahead <= last:
                    yield DueDay(day - ahead, f"{holiday.name} {year}")


def due_on(trigger: Trigger, send_day: date, planned_until: date | None, book: FestivalBook) -> DueDay | None:
    """
    The occasion by calendar that is open on `send_day`: its own, or the newest of the days before that nobody planned.

    `planned_until` is the last send day before that was planned, None before the first: a campaign that is new is not
    late for anything.
    """
    first = send_day
    if planned_until is not None:
        first = max(send_day - timedelta(days=trigger.good_for - 1), planned_until + timedelta(days=1))
    found = list(due_days(trigger, min(first, send_day), send_day, book))
    return found[-1] if found else None
