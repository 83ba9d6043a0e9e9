"""Rows made ready to be drawn: shares for bars, points for sparklines."""

from collections.abc import Sequence
from typing import Any, Literal

Rows = Sequence[dict[str, Any]]
Section = dict[str, Any]
Bar = float | Literal["silent"] | None  # a day of a strip: see there


def sparkline(values: Sequence[float | None], width: int = 100, height: int = 24) -> str:
    """The `points` of an SVG polyline through `values`; empty for fewer than two."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, span = min(known), (max(known) - min(known)) or 1
    step = width / (len(known) - 1)
    return " ".join(
        f"{place * step:.1f},{height - 2 - (value - low) / span * (height - 4):.1f}"
        for place, value in enumerate(known)
    )


def strip(days: Sequence[Bar], height: int = 20) -> dict[str, str]:
    """
    The paths of a strip of bars, one a day from left to right: passed, failed, silent.

    A day is the share that failed (0: it passed), "silent" (nothing was there to check), or None (nothing was run).
    What failed is taller than what passed, however little it is: the colour is not all that tells them apart.
    """
    paths = {"passed": "", "failed": "", "silent": ""}
    for place, day in enumerate(days):
        if day is None:
            continue
        if day == "silent":
            kind, tall = "silent", 1.5
        elif day == 0:
            kind, tall = "passed", 5.0
        else:
            kind, tall = "failed", round(9 + (height - 9) * day**0.5, 1)
        paths[kind] += f"M{4 * place} {height}v-{tall:g}h3v{tall:g}z"
    return paths


def with_shares(rows: Rows, *fields: str, of_largest: bool = False) -> list[Section]:
    """Each row with `<field>_share`: of the sum, or of the largest, 0 where there is nothing."""
    whole_of = max if of_largest else sum
    totals = {field: whole_of(row[field] for row in rows) if rows else 0 for field in fields}
    return [
        {
            **row,
            **{f"{field}_share": max(row[field], 0) / totals[field] if totals[field] > 0 else 0 for field in fields},
        }
        for row in rows
    ]
