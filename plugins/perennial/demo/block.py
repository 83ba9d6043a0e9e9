"""The unit of simulation: a chunk of people in a calendar month. Its random streams are its own."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perennial.demo.people import Labels, People
from perennial.demo.process import Floats, Ints, Month, Shop, season


@dataclass(frozen=True)
class Block:
    """Nothing in a block depends on which other blocks are simulated, or on which days are written."""

    shop: Shop
    chunk: int
    month: Month
    who: People
    label: Labels

    def stream(self, purpose: str) -> np.random.Generator:
        return self.shop.stream(purpose, self.chunk, self.month.number)

    @property
    def prefix(self) -> str:
        """What the numbers given out in this block begin with: year, month and chunk."""
        return f"{self.month.label}-{self.chunk:02d}"

    @cached_property
    def first_day(self) -> int:
        """The first day of the month on which there is a shop."""
        return max(self.month.first, self.shop.first_day)

    @property
    def is_opening(self) -> bool:
        return self.month.first <= self.shop.first_day < self.month.end

    @cached_property
    def newcomers(self) -> Ints:
        """Rows of the people who sign up within the block."""
        return np.flatnonzero((self.who.signup_day >= self.first_day) & (self.who.signup_day < self.month.end))

    @cached_property
    def alive(self) -> tuple[Ints, Ints]:
        """The days [from, to) on which each person is a customer and not lost; none where to <= from."""
        return np.maximum(self.who.signup_day, self.first_day), np.minimum(self.who.dropout_day, self.month.end)

    @cached_property
    def _season(self) -> Floats:
        return season(self.month.first, self.month.end)

    def occurrences(
        self, rng: np.random.Generator, rates: Floats | float, between: tuple[Ints, Ints], *, seasonal: bool = True
    ) -> tuple[Ints, Ints]:
        """
        A Poisson process for each person on their own days [from, to) of the month, more on the days of their season.

        `rates` are events a day at weight 1. Returns (row of the person, day) of each event, by person.
        """
        weights = self._season if seasonal else np.ones_like(self._season)
        cumulative = np.concatenate([np.zeros((2, 1)), np.cumsum(weights, axis=1)], axis=1)
        begins, ends = ((days - self.month.first).clip(0, weights.shape[1]) for days in between)
        rows = self.who.is_chinese
        low, high = cumulative[rows, begins], cumulative[rows, np.maximum(begins, ends)]
        person = np.repeat(np.arange(len(self.who)), rng.poisson(rates * (high - low)))
        position = low[person] + rng.random(len(person)) * (high - low)[person]
        day = np.empty(len(person), dtype=np.int64)
        for row in range(2):
            here = rows[person] == row
            day[here] = np.searchsorted(cumulative[row], position[here], side="right") - 1
        return person, self.month.first + np.clip(day, begins[person], ends[person] - 1)

    def shift(self, person: Ints) -> Ints:
        """By how many seconds the day of each person (rows; below zero for strangers) runs ahead of the shop's."""
        return np.where((person >= 0) & (self.who.is_chinese[person] == 1), -6 * 3600, 0)
