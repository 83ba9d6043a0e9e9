"""
Whether the values of a column come in about their usual shares: prices in cents, another currency, a lost channel.

The measure is the population stability index, Σ (p - q) ln(p / q) over the values; 0.25 is its customary bound
(N. Siddiqi, Credit Risk Scorecards, 2006). For n and m independent rows of one kind, with k values, chance alone makes
it (k - 1)(1/n + 1/m) on average (B. Yurdakul, Statistical Properties of Population Stability Index, 2018). That is
allowed beside the bound, and more of it because rows are not independent.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import log

from pydantic import Field

from perennial.contracts import Severity
from perennial.foundation.documents import Document
from perennial.quality.gate import Check

_RARE = 0.02  # values that have less than this share on both sides are counted as one
_UNSEEN = 0.5  # rows that stand for none, because zero has no logarithm
_TOGETHER = 10  # times chance is allowed, as rows come together: lines of an order, clicks of a visit
_TOLD = 3  # values, those whose share moved most


class Mix(Document):
    """See the file for what each number means."""

    from_rows: int = Field(ge=1)
    at_most: float = Field(gt=0)


def stability_index(found: Mapping[str, int], usual: Mapping[str, int]) -> float:
    """How far two counts of values, neither of them empty, are from having the same shares; 0 where they have."""
    rows, before = sum(found.values()), sum(usual.values())
    shares = (
        (max(found.get(value, 0), _UNSEEN) / rows, max(usual.get(value, 0), _UNSEEN) / before)
        for value in {**found, **usual}
    )
    return sum((p - q) * log(p / q) for p, q in shares)


def mix(column: str, found: Mapping[str, int], days: list[Counter[str]], rules: Mix) -> Check | None:
    """
    Whether `found`, rows by value, is spread as on the `days` before; None where too few rows tell.

    Of those the one is left out without which `found` looks most usual: a backlog or a bad day is no measure.
    """
    others = [_sum(days[:number] + days[number + 1 :]) for number in range(len(days))]
    if not others or min(sum(counts.values()) for counts in (found, *others)) < rules.from_rows:
        return None
    found, usual = min((_without_rare(found, usual) for usual in others), key=lambda sides: stability_index(*sides))
    index = stability_index(found, usual)
    rows, before = sum(found.values()), sum(usual.values())
    at_most = rules.at_most + _TOGETHER * (len({**found, **usual}) - 1) * (1 / rows + 1 / before)
    passed = index <= at_most
    told = "as usual" if passed else _moved(found, usual)
    detail = f"{column}: {told}; stability index {index:.2f}, to be at most {at_most:.2f}"
    return Check("mix", Severity.WARNING, rows, int(not passed), passed, detail)


def _sum(days: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counts in days:
        total.update(counts)
    return total


def _without_rare(found: Mapping[str, int], usual: Mapping[str, int]) -> tuple[Counter[str], Counter[str]]:
    sides = (found, usual)
    often = {value for counts in sides for value, rows in counts.items() if rows >= _RARE * sum(counts.values())}
    pooled: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for counts, into in zip(sides, pooled, strict=True):
        for value, rows in counts.items():
            into[value if value in often else "others"] += rows
    return pooled


def _moved(found: Mapping[str, int], usual: Mapping[str, int]) -> str:
    rows, before = sum(found.values()), sum(usual.values())
    shares = {value: (found.get(value, 0) / rows, usual.get(value, 0) / before) for value in {**found, **usual}}
    most = sorted(shares, key=lambda value: (-round(abs(shares[value][0] - shares[value][1]), 3), value))[:_TOLD]
    return ", ".join(f"{value or 'none'} {shares[value][0]:.0%} instead of {shares[value][1]:.0%}" for value in most)
