"""The report's section about campaigns: who hears from us and why, and what followed."""

from math import sqrt

from perennial.metrics import charts
from perennial.metrics.shapes import Rows, Section, with_shares
from perennial.metrics.words import REASONS, percent, plain

ARMS = {"treated": "var(--accent)", "holdout": "var(--muted)"}
FEW = 100  # people: a rate over fewer says little


def campaign_section(decisions: Rows, followed: Rows, mails: Rows, currency: str) -> Section:
    """
    The newest decisions of each campaign by reason, and what followed by arm and variant.

    In `followed` a person counts once, from the first decision to write or to hold out; holding out is repeated on
    every send day, so the sums of send days would count those people again and again.
    """
    campaigns = list(dict.fromkeys(row["campaign"] for row in decisions))
    groups = [_group(row) for row in followed]
    return {
        "campaigns": [
            _campaign(
                [row for row in decisions if row["campaign"] == campaign],
                [row for row in groups if row["campaign"] == campaign],
            )
            for campaign in campaigns
        ],
        "groups": groups,
        "mails": mails,
        "open_windows": sum(row["still_open"] for row in groups),
        "few": any(row["people"] < FEW for row in groups),
        "currency": currency,
    }


def _campaign(decisions: Rows, groups: Rows) -> Section:
    title = decisions[0]["title"]
    reasons = [
        {
            "reason": row["reason"],
            "text": REASONS.get(row["reason"], plain(row["reason"])),
            "customers": row["customers"],
        }
        for row in sorted(decisions, key=lambda row: (row["reason"] != "send", -row["customers"], row["reason"]))
    ]
    alt = f"{title}: share of people who ordered, by variant, with 95 % intervals; the table below has the figures."
    return {
        "campaign": decisions[0]["campaign"],
        "title": title,
        "send_day": decisions[0]["send_day"],
        "considered": sum(row["customers"] for row in reasons),
        "reasons": with_shares(reasons, "customers"),
        "chart": charts.intervals(groups, ARMS, alt=alt) if groups else None,
    }


def _group(row: Section) -> Section:
    people, converted = row["people"], row["converted"]
    share, (low, high) = converted / people, wilson(converted, people)
    name = "held out" if row["arm"] == "holdout" else f"variant {row['variant']}"
    label = f"{name}: {converted} of {people} ordered, {percent(share)} ({percent(low)} to {percent(high)})"
    figures = {"share": share, "low": low, "high": high, "revenue_each": row["revenue"] / people}
    return {**row, **figures, "name": name, "group": row["arm"], "label": label}


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson's score), which also holds for few trials and shares near 0 or 1."""
    share = successes / trials
    middle = share + z * z / (2 * trials)
    reach = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)
