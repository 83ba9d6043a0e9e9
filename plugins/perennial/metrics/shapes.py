"""Rows made ready to be drawn: shares for bars, points for sparklines."""

from collections.abc import Sequence
from typing import Any

Rows = Sequence[dict[str, Any]]
Section = dict[str, Any]


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
