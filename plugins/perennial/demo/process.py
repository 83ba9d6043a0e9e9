"""The parameters of a simulated shop, its random streams, and the calendar it lives by. Days count from 1970-01-01."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SHOP_ZONE = ZoneInfo("Europe/Berlin")
HORIZON_DAYS = 365  # how long after its last built day a shop can go on
CHUNK = 25_000  # people simulated together: the bound on memory
EPOCH = date(1970, 1, 1)
SUNDAY = 6

# The first day of the lunar year.
SPRING_FESTIVALS = (
    "2020-01-25", "2021-02-12", "2022-02-01", "2023-01-22", "2024-02-10", "2025-01-29", "2026-02-17",
    "2027-02-06", "2028-01-26", "2029-02-13", "2030-02-03", "2031-01-23", "2032-02-11",
)  # fmt: skip


@dataclass(frozen=True)
class Dirt:
    """How dirty the exports are: shares of rows, and shares of files."""

    duplicate: float = 0.004  # rows exported again, unchanged, in the next file
    late: float = 0.006  # rows that arrive 1 to 10 days after they happened
    broken_date: float = 0.002
    negative_quantity: float = 0.0015  # order lines below zero that are no return
    bad_address: float = 0.006  # people, and order lines, with a malformed e-mail address
    guest: float = 0.07  # orders without any identity
    renamed_header: float = 0.01  # files with another, known name for a column
    misspelt_header: float = 0.0015  # files whose required column nobody can recognise
    other_encoding: float = 0.2  # files in the source's second encoding
    byte_order_mark: float = 0.03
    blank_lines: float = 0.03
    extra_column: float = 0.01


@dataclass(frozen=True)
class Activity:
    """How much happens in the shop, and how much of it is seen."""

    pace: float = 1.0  # how often people buy and browse, against the usual
    tracked: float = 1.0  # share of people whose clicks are recorded; the others declined


@dataclass(frozen=True)
class Shop:
    """What a demo shop is made from. Equal shops write equal bytes."""

    seed: int
    customers: int
    start: date
    end: date
    dirt: Dirt = field(default_factory=Dirt)
    activity: Activity = field(default_factory=Activity)

    @cached_property
    def first_day(self) -> int:
        return day_number(self.start)

    @cached_property
    def horizon(self) -> int:
        """The first day that can no longer be written."""
        return day_number(self.end) + 1 + HORIZON_DAYS

    @cached_property
    def newcomers(self) -> int:
        """People who sign up between start and end; the others were there before. Half of them in 18 months."""
        days = day_number(self.end) + 1 - self.first_day
        return round(self.customers * 0.5 * min(1.0, days / 549))

    @cached_property
    def people(self) -> int:
        """People there will ever be: sign-ups go on at the same rate until the horizon."""
        days = day_number(self.end) + 1 - self.first_day
        return self.customers + self.newcomers * HORIZON_DAYS // days

    def stream(self, purpose: str, *keys: int) -> np.random.Generator:
        """An independent random stream for one purpose and block, so that no part depends on what else is written."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, crc32(purpose.encode()), *keys]))


def day_number(day: date) -> int:
    return (day - EPOCH).days


def day_of(number: int) -> date:
    return EPOCH + timedelta(days=int(number))


@dataclass(frozen=True)
class Month:
    """A calendar month, the unit in which behaviour is simulated; `number` counts from January 1970."""

    number: int

    @classmethod
    def of(cls, day: int) -> "Month":
        return cls(int(np.datetime64(day, "D").astype("datetime64[M]").astype(int)))

    @property
    def first(self) -> int:
        return int(np.datetime64(self.number, "M").astype("datetime64[D]").astype(int))

    @property
    def end(self) -> int:
        """The first day after it."""
        return Month(self.number + 1).first

    @property
    def label(self) -> str:
        """As in order numbers: 2501 is January 2025."""
        return f"{self.number // 12 % 100 + 70 - 100 * (self.number // 12 >= 30):02d}{self.number % 12 + 1:02d}"


def weekday(days: Ints) -> Ints:
    """0 is Monday."""
    return (days + 3) % 7


def season(first: int, end: int) -> Floats:
    """
    How much more or less is bought on each day of [first, end), shape (2, days): row 0 for the West, row 1 for China.

    The West has a summer dip, Black Friday and Christmas; China has 18 June, 11 November and the Spring Festival.
    """
    days = np.arange(first, end)
    dates = days.astype("datetime64[D]")
    of_year = (dates - dates.astype("datetime64[Y]")).astype(int)
    week = np.array([1.0, 0.92, 0.9, 0.94, 1.02, 1.1, 1.16])[weekday(days)]
    year = 1 + 0.1 * np.cos(2 * np.pi * (of_year - 345) / 365.25)
    west = week * year
    west *= np.where((of_year >= 323) & (of_year <= 355), 1.3 + (of_year - 323) / 40, 1.0)
    west *= np.where((of_year >= 359) | (of_year <= 5), 0.65, 1.0)
    china = week * year
    for peak, height in ((168, 1.6), (314, 2.4)):
        china *= np.where(np.abs(of_year - peak) <= 2, height, 1.0)
    for festival in SPRING_FESTIVALS:
        ahead = np.datetime64(festival).astype(int) - days
        china *= np.where((ahead > 0) & (ahead <= 21), 1.75, 1.0) * np.where((ahead <= 0) & (ahead > -8), 0.45, 1.0)
    return np.stack([west, china])


def utc_offset(days: Ints, seconds: Ints) -> Ints:
    """Seconds by which the shop's clock is ahead of UTC; on the two days it changes, from 03:00 on."""
    effective = days - (seconds < 3 * 3600)
    distinct, inverse = np.unique(effective, return_inverse=True)
    offsets = [
        datetime.combine(day_of(day), time(12), SHOP_ZONE).utcoffset() or timedelta() for day in distinct.tolist()
    ]
    return np.array([int(offset.total_seconds()) for offset in offsets], dtype=np.int64)[inverse]


def times_of_day(rng: np.random.Generator, hours: tuple[float, ...], size: int, shift: Ints | int = 0) -> Ints:
    """
    Seconds after midnight by 24 hourly weights, moved by `shift` seconds for people who live elsewhere.

    Nothing happens from 02:00 to 03:00, an hour that one day a year does not have.
    """
    weights = np.array(hours)
    hour = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(size), side="right").clip(max=23)
    seconds = (hour * 3600 + rng.integers(0, 3600, size) + shift) % 86400
    return awake(seconds)


def awake(seconds: Ints) -> Ints:
    """Times of day, those between 02:00 and 03:00 an hour later."""
    return np.where((seconds >= 7200) & (seconds < 10800), seconds + 3600, seconds)


EVENINGS = (2, 1, 0, 0, 0, 1, 2, 3, 4, 5, 5, 5, 6, 5, 5, 5, 5, 6, 7, 9, 10, 9, 6, 3)
OPENING_HOURS = (0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 5, 6, 7, 6, 5, 5, 7, 9, 8, 4, 0, 0, 0, 0)
OFFICE_HOURS = (0, 0, 0, 0, 0, 0, 0, 1, 4, 8, 9, 8, 6, 7, 8, 8, 6, 3, 0, 0, 0, 0, 0, 0)
