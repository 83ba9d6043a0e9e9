"""Days that campaigns are made for: public holidays of any country, and those of `include/rules/festivals.yaml`."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import Annotated, Literal, Self

import holidays
from lunardate import LunarDate
from pydantic import AfterValidator, Field, model_validator

from perennial.foundation.documents import Document, read_document
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

Day = date  # under a name that no field of a festival has
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LUNAR_YEARS = (1901, 2099)  # what the library's tables know
# What stands for a holiday is not the holiday.
_INSTEAD = re.compile(r"\((observed|substitute)|substituted|day off", re.IGNORECASE)


def _month_and_day(text: str) -> str:
    if not re.fullmatch(r"(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", text):
        raise ValueError('write month and day in quotes, such as "02-14"')
    return text


MonthDay = Annotated[str, AfterValidator(_month_and_day)]


class NthWeekday(Document):
    """Such as the second Sunday of May."""

    month: int = Field(ge=1, le=12)
    weekday: Literal[_WEEKDAYS]  # type: ignore[valid-type]
    nth: int = Field(ge=1, le=4)
    days_after: int = Field(default=0, ge=0, le=7, description="Such as the Friday after the fourth Thursday: 1.")


class Festival(Document):
    """By sun, by moon (month and day of the Chinese calendar), or by weekday."""

    date: MonthDay | None = None
    lunar: MonthDay | None = None
    weekday: NthWeekday | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(way is not None for way in (self.date, self.lunar, self.weekday)) != 1:
            raise ValueError("give exactly one of date, lunar and weekday")
        return self

    def days(self, year: int) -> Iterator[Day]:
        """When it is in a year of the Western calendar: seldom never or twice by moon, where months are short."""
        if self.date is not None:
            month, day = map(int, self.date.split("-"))
            if (month, day) != (2, 29) or _is_leap(year):
                yield date(year, month, day)
        if self.weekday is not None:
            first = date(year, self.weekday.month, 1)
            ahead = (_WEEKDAYS.index(self.weekday.weekday) - first.weekday()) % 7 + 7 * (self.weekday.nth - 1)
            yield first + timedelta(days=ahead + self.weekday.days_after)
        if self.lunar is not None:
            for lunar_year in (year - 1, year):
                found = _by_moon(lunar_year, self.lunar)
                if found is not None and found.year == year:
                    yield found


class FestivalBook(Document):
    """Festivals by name."""

    festivals: dict[str, Festival]

    def days(self, name: str, country: str | None, year: int) -> list[date]:
        """The days of one festival in a year; of a holiday of several days the first. Empty where there is none."""
        if name in self.festivals:
            return list(self.festivals[name].days(year))
        return _public_holiday(name, country, year) if country else []

    def require(self, name: str, country: str | None) -> None:
        """Raise BadConfig for a festival that neither the book nor the country has."""
        years = range(2024, 2029)  # some holidays are not in each year
        if any(self.days(name, country, year) for year in years):
            return
        if country is None:
            raise BadConfig(f"{name!r} is not in rules/festivals.yaml; a public holiday needs its `country`.")
        known = sorted({found for year in years for _, found in _public_holidays(country, year)})
        raise BadConfig(
            f"{name!r} is neither in rules/festivals.yaml nor a public holiday of {country}. "
            f"There are: {', '.join(known) or 'none, the country is not known'}."
        )


def load_festivals(settings: Settings) -> FestivalBook:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "festivals.yaml"), FestivalBook)


def _is_leap(year: int) -> bool:
    return (date(year, 3, 1) - timedelta(days=1)).day == 29


def _by_moon(lunar_year: int, month_and_day: str) -> date | None:
    month, day = map(int, month_and_day.split("-"))
    if not _LUNAR_YEARS[0] <= lunar_year <= _LUNAR_YEARS[1]:
        return None
    try:
        found: date = LunarDate(lunar_year, month, day).to_solar_date()
    except ValueError:  # the 30th of a month that has 29 days
        return None
    return found


@lru_cache(maxsize=256)
def _public_holidays(country: str, year: int) -> list[tuple[date, str]]:
    """Days and English names, in order; nothing of a country that is not known."""
    languages = holidays.list_localized_countries().get(country, [])
    if country not in holidays.list_supported_countries():
        return []
    language = next((name for name in ("en_US", "en_GB", "en") if name in languages), None)
    found = holidays.country_holidays(country, years=year, language=language)
    return [(day, name) for day in sorted(found) for name in found.get_list(day) if not _INSTEAD.search(name)]


def _public_holiday(name: str, country: str, year: int) -> list[date]:
    """The first day that has the name, or one that it is part of in brackets: Chinese New Year (Spring Festival)."""
    wanted = name.lower()
    exact = [day for day, found in _public_holidays(country, year) if wanted in _names(found)]
    return exact[:1]


def _names(name: str) -> set[str]:
    """A holiday's name, and both of `one (other)`."""
    return {part.strip().lower() for part in (name, *re.split(r"[()]", name))} - {""}
