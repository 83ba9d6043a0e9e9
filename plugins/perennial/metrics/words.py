"""Numbers, days and codes as people read them."""

from datetime import date

# Why a campaign did or did not write to somebody (`campaigns.decisions.reason`).
REASONS = {
    "send": "Gets the mail",
    "campaign_holdout": "Held out, to measure what the campaign changes",
    "global_holdout": "Held out of all campaigns, to measure what they change",
    "no_address": "No e-mail address is known",
    "suppressed": "The address is blocked: unsubscribed, complained or bounced",
    "no_consent": "No consent to this topic",
    "erased": "Asked to be erased",
    "already_sent": "Had this campaign within its repeat period",
    "same_address": "Somebody else with the same address gets the mail",
    "open_complaint": "Has an open case with support: help first, sell later",
    "detractor_hold": "Gave a low score lately",
    "stale_data": "The data it needs is late, unusual or refused",
    "frequency_cap": "Got as much mail as the contact policy allows",
    "lower_priority": "A more important campaign writes on this day",
    "no_coupon": "No coupon was left",
    "warm_up": "The sending domain is new: the day's number of mails is reached",
}
NOTHING = "\N{EN DASH}"
_MINUS, _THIN = "\N{MINUS SIGN}", "\N{NARROW NO-BREAK SPACE}"


def whole(number: float | None) -> str:
    """1234.6 -> 1,235; None -> a dash."""
    return NOTHING if number is None else f"{number:,.0f}".replace("-", _MINUS)


def compact(number: float | None) -> str:
    """The number to three digits: 1,234,567 -> 1.23 M. Below 10,000 it is written out."""
    if number is None:
        return NOTHING
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= max(size, 1e4):
            scaled = number / size
            digits = 0 if abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2
            return f"{scaled:.{digits}f}{_THIN}{letter}".replace("-", _MINUS)
    return whole(number)


def percent(share: float | None, digits: int = 1) -> str:
    """0.1234 -> 12.3 %."""
    return NOTHING if share is None else f"{100 * share:.{digits}f}{_THIN}%".replace("-", _MINUS)


def points(share: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return NOTHING if share is None else f"{100 * share:+.1f}{_THIN}pt".replace("-", _MINUS)


def long_day(day: date) -> str:
    """Saturday, 31 January 2026."""
    return f"{day:%A}, {day.day} {day:%B %Y}"


def short_day(day: date) -> str:
    """31 Jan 2026."""
    return f"{day.day} {day:%b %Y}"


def plain(code: str) -> str:
    """A code as words: new_customers -> New customers."""
    text = code.replace("_", " ")
    return text[:1].upper() + text[1:]


def change(now: float | None, before: float | None) -> float | None:
    """The relative change; None where there is nothing to compare with."""
    return None if now is None or not before else now / before - 1
