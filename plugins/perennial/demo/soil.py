"""Dirt on single rows: which row gets which, and what becomes of late and repeated ones."""

from dataclasses import dataclass

import numpy as np

from perennial.demo.files import Spool
from perennial.demo.process import Bools, Dirt, Ints
from perennial.demo.text import Text

BROKEN_DATES = ("2025-13-45 10:00:00", "0000-00-00 00:00:00", "yesterday", "31.02.25", "")
LATE_DAYS = 10
DUPLICATE, LATE, BROKEN_DATE, NEGATIVE_QUANTITY, BAD_ADDRESS = range(1, 6)
KINDS = ("clean", "duplicate", "late", "broken_date", "negative_quantity", "bad_address")


@dataclass(frozen=True)
class Soiled:
    """At most one kind of dirt for each row, 0 for none, and by how many days it arrives late."""

    kind: Ints
    delay: Ints


def soil(dirt: Dirt, rng: np.random.Generator, allowed: Bools, kinds: tuple[int, ...]) -> Soiled:
    """Choose the dirt of each row at the rates of `dirt`; rows that are not `allowed` stay clean."""
    rates = [getattr(dirt, KINDS[kind]) for kind in kinds]
    chosen = np.searchsorted(np.cumsum(rates), rng.random(len(allowed)), side="right")
    kind = np.where(allowed, np.array([*kinds, 0])[chosen], 0)
    return Soiled(kind, np.where(kind == LATE, rng.integers(1, LATE_DAYS + 1, len(kind)), 0))


def spool_soiled(spool: Spool, source: str, days: Ints, lines: Text, soiled: Soiled, **special: Bools) -> None:
    """
    Put lines into the files of their days, late ones into later files, duplicates into the following one as well.

    `special` names further kinds of rows to be counted.
    """
    exported = days + soiled.delay
    counted = {KINDS[kind]: soiled.kind == kind for kind in range(LATE, len(KINDS))} | special
    spool.add(source, exported, lines, {name: exported[rows] for name, rows in counted.items()})
    again = np.flatnonzero(soiled.kind == DUPLICATE)
    spool.add_again(source, exported[again], lines.take(again))
