"""The filters a template may use. Money, days and numbers are written as the context's locale writes them."""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from babel.dates import format_date
from babel.numbers import format_currency, format_decimal
from jinja2 import pass_context
from jinja2.filters import FILTERS as JINJA
from jinja2.runtime import Context


@pass_context
def money(context: Context, amount: Decimal | int) -> str:
    """An amount in the context's currency: €24.90."""
    return _money(amount, context["currency"], _locale(context))


@pass_context
def number(context: Context, value: Decimal | int) -> str:
    """A number with its separators: 1,240."""
    return _number(value, _locale(context))


@pass_context
def day(context: Context, value: date) -> str:
    """A date in words: February 1, 2026; 2026年2月1日."""
    return _day(value, _locale(context))


# Babel takes as long for one amount as the rest of a mail, and prices, balances and days repeat.


@lru_cache(maxsize=4096)
def _money(amount: Decimal | int, currency: str, locale: str) -> str:
    return format_currency(amount, currency, locale=locale)


@lru_cache(maxsize=20_000)
def _number(value: Decimal | int, locale: str) -> str:
    return format_decimal(value, locale=locale)


@lru_cache(maxsize=256)
def _day(value: date, locale: str) -> str:
    return format_date(value, "long", locale=locale)


def batch(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """`values` in groups of `size`, the last one possibly smaller."""
    return [values[start : start + size] for start in range(0, len(values), size)]


REWRITE = "_rewrite"  # the variable that holds what delivery does with links; no template can name it
Rewrite = Callable[[str, str, bool], str]  # address, query to add, whether a click may be noted → address


@pass_context
def link(context: Context, url: str, tags: str) -> str:
    """A link as people get it; compiling puts this filter around each."""
    return _rewritten(context, url, tags, noted=True)


@pass_context
def tagged(context: Context, url: str, tags: str) -> str:
    """The same where the address is read by people."""
    return _rewritten(context, url, tags, noted=False)


def _rewritten(context: Context, url: str, tags: str, *, noted: bool) -> str:
    rewrite: Rewrite | None = context.get(REWRITE)
    return rewrite(str(url), tags, noted) if rewrite else url


@pass_context
def nps_url(context: Context, score: int) -> str:
    """The link by which a person says how likely they are to recommend us: `{{ 9 | nps_url }}`, from 0 to 10."""
    return _answer(context, "nps", score, range(11))


@pass_context
def csat_url(context: Context, score: int) -> str:
    """The link by which a person says how content they are: `{{ 5 | csat_url }}`, from 1 to 5."""
    return _answer(context, "csat", score, range(1, 6))


def _answer(context: Context, survey: str, score: int, scores: range) -> str:
    if score not in scores:
        raise ValueError(f"{survey} goes from {scores[0]} to {scores[-1]}")
    return f"{context['answer_url']}/{survey}/{score}"


def _locale(context: Context) -> str:
    return str(context["locale"]).replace("-", "_")


_FROM_JINJA = ("capitalize", "default", "first", "last", "length", "lower", "title", "trim", "truncate", "upper")
FILTERS: dict[str, Callable[..., Any]] = {
    **{name: JINJA[name] for name in (*_FROM_JINJA, "urlencode")},
    "batch": batch,
    "csat_url": csat_url,
    "day": day,
    "money": money,
    "nps_url": nps_url,
    "number": number,
}
OURS: dict[str, Callable[..., Any]] = {"link": link, "tagged": tagged}  # put there by compiling only
