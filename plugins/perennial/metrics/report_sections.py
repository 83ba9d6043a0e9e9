"""What each section of the report shows: figures, charts, and the sentences that say what they mean."""

from itertools import groupby
from typing import Any

from markupsafe import Markup

from perennial.metrics import charts
from perennial.metrics.shapes import Rows, Section, sparkline, with_shares
from perennial.metrics.words import change, compact, percent, plain, points, short_day, whole

MONTH = 28  # days: four whole weeks, so weekdays weigh alike
YEAR = 365
RISKS = {"low": "var(--good)", "medium": "var(--warn)", "high": "var(--bad)"}
FATES = ("current", "superseded", "duplicate", "quarantined", "held", "refused")


def headline(rows: dict[str, Rows], currency: str) -> list[Section]:
    """The figures at the top: last 28 days against the 28 before."""
    days = rows["days"]
    now, before = days[-MONTH:], days[-2 * MONTH : -MONTH]
    comparable = len(before) == MONTH
    span = f"last {len(now)} days" if len(now) > 1 else "first day" if now else "no day yet"

    def total(some: Rows, field: str) -> float:
        return float(sum(row[field] or 0 for row in some))

    def card(name: str, value: str, now_value: float | None, before_value: float | None, **more: Any) -> Section:
        delta = change(now_value, before_value) if comparable else None
        text = "" if delta is None else f"{'+' if delta >= 0 else ''}{percent(delta)}"
        return {"name": name, "value": value, "delta": delta, "delta_text": text, "note": span, **more}

    def sums(name: str, field: str, unit: str = "") -> Section:
        value = total(now, field)
        weeks = [total(week, field) for week in _weeks(days)]
        return card(name, compact(value), value, total(before, field), unit=unit, spark=sparkline(weeks))

    def order_value(some: Rows) -> float | None:
        orders = total(some, "orders")
        return total(some, "net_revenue") / orders if orders else None

    rates = [row["repeat_purchase_rate"] for row in days]
    rate_now = rates[-1] if rates else None
    rate_before = rates[-1 - MONTH] if len(rates) > MONTH else None
    rate_change = None if rate_now is None or rate_before is None else rate_now - rate_before
    value = order_value(now)
    stake = sum(row["at_stake"] for row in rows["risk"] if row["risk"] == "high")
    at_risk = sum(row["customers"] for row in rows["risk"] if row["risk"] == "high")
    return [
        sums("Net revenue", "net_revenue", currency),
        sums("Orders", "orders"),
        card(
            "Average order",
            whole(value),
            value,
            order_value(before),
            unit=currency,
            spark=sparkline([order_value(week) for week in _weeks(days)]),
        ),
        sums("New customers", "new_customers"),
        {
            "name": "Repeat rate",
            "value": percent(rate_now),
            "unit": "",
            "delta": rate_change,
            "delta_text": "" if rate_change is None else points(rate_change),
            "note": "bought twice, of all buyers",
            "spark": sparkline([week[-1]["repeat_purchase_rate"] for week in _weeks(days)]),
        },
        {
            "name": "At high risk",
            "value": whole(at_risk),
            "unit": "customers",
            "delta": None,
            "delta_text": "",
            "note": f"{currency} {compact(stake)} a year at stake",
            "spark": "",
        },
    ]


def revenue_section(days: Rows, currency: str) -> Section:
    shown = _labelled(days[-YEAR:], "net_revenue", f"{currency} ", "net revenue")
    return {
        "chart": _if_several(
            days,
            lambda: charts.daily(
                shown,
                value="net_revenue",
                mean="net_revenue_mean",
                colour="var(--accent)",
                alt=f"Net revenue by day, {_period(days)}, in {currency}, with the mean of 28 days.",
                wide=True,
            ),
        ),
        "days": list(reversed(days[-MONTH:])),
        "open_days": sum(not row["is_final"] for row in days),
        "currency": currency,
    }


def customer_section(days: Rows) -> Section:
    def chart(field: str, colour: str, words: str) -> Markup:
        shown = _labelled(days[-YEAR:], field, "", words)
        return charts.daily(
            shown, value=field, mean=f"{field}_mean", colour=colour, alt=f"{plain(words)} by day, {_period(days)}."
        )

    def rate() -> Markup:
        shown = [row for row in days[-YEAR:] if row["repeat_purchase_rate"] is not None]
        labelled = [
            {
                "day": row["day"].isoformat(),
                "rate": row["repeat_purchase_rate"],
                "label": f"{short_day(row['day'])}: {percent(row['repeat_purchase_rate'])}",
            }
            for row in shown
        ]
        alt = f"Repeat purchase rate by day, {_period(days)}."
        return charts.daily(labelled, value="rate", mean=None, colour="var(--violet)", alt=alt, wide=True)

    return {
        "active": _if_several(days, lambda: chart("active_customers", "var(--blue)", "active customers")),
        "new": _if_several(days, lambda: chart("new_customers", "var(--gold)", "new customers")),
        "repeat": _if_several(days, rate),
    }


def rfm_section(rows: Rows, currency: str) -> Section:
    names = list(dict.fromkeys(row["segment"] for row in rows))
    colours = {name: f"var(--rfm-{place % 11 + 1})" for place, name in enumerate(names)}
    cells = [
        {
            "recency": int(row["code"][0]),
            "frequency": int(row["code"][1]),
            "monetary": int(row["code"][2]),
            "segment": row["segment"],
            "customers": row["customers"],
            "label": f"{row['code']} {row['segment']}: {whole(row['customers'])} customers, "
            f"{currency} {compact(row['net_revenue_12m'])} in 12 months",
        }
        for row in rows
    ]
    named = [
        {
            "name": name,
            "colour": colours[name],
            **{
                field: sum(row[field] for row in rows if row["segment"] == name)
                for field in ("customers", "net_revenue_12m", "at_high_risk")
            },
        }
        for name in names
    ]
    buyers = sum(row["customers"] for row in named)
    shared = with_shares(named, "customers", "net_revenue_12m")
    largest = max((row[f"{field}_share"] for row in shared for field in ("customers", "net_revenue_12m")), default=0)
    alt = "Map of the 125 RFM codes and how many customers are in each; the table beside it has the figures."
    return {
        "chart": charts.rfm_map(cells, colours, alt=alt) if buyers else None,
        "segments": shared,
        "largest": largest or 1,  # the longest bar fills its cell
        "buyers": buyers,
        "currency": currency,
    }


def segment_section(rows: Rows) -> list[Section]:
    """The newest day of each segment, with its size over the last 91 days."""
    found = []
    newest = max((row["day"] for row in rows), default=None)
    for _, history in groupby(rows, key=lambda row: row["segment"]):
        days = list(history)
        if days[-1]["day"] == newest:
            found.append({**days[-1], "since": days[0]["day"], "spark": sparkline([row["customers"] for row in days])})
    return with_shares(found, "customers", "net_revenue_12m", of_largest=True)


def tier_section(rows: Rows) -> list[Section]:
    return with_shares(rows, "customers", "net_revenue_12m")


def risk_section(rows: Rows, currency: str) -> Section:
    def chart(field: str, unit: str, alt: str) -> Markup:
        bars = [
            {
                "low": row["bin"] / 20,
                "high": (row["bin"] + 1) / 20,
                "group": row["risk"],
                field: row[field],
                "label": f"{percent(row['bin'] / 20, 0)} to {percent((row['bin'] + 1) / 20, 0)}, {row['risk']} risk: "
                f"{compact(row[field])} {unit}",
            }
            for row in rows
        ]
        return charts.columns(bars, value=field, colours=RISKS, alt=alt)

    levels = [
        {
            "name": risk,
            "colour": colour,
            **{
                field: sum(row[field] for row in rows if row["risk"] == risk)
                for field in ("customers", "net_revenue_12m", "at_stake")
            },
        }
        for risk, colour in RISKS.items()
    ]
    alt = "by churn probability in steps of 5 %, coloured by risk; the table below has the sums."
    return {
        "customers": chart("customers", "customers", f"Customers {alt}") if rows else None,
        "revenue": chart("net_revenue_12m", currency, f"Net revenue of 12 months {alt}") if rows else None,
        "levels": with_shares(levels, "customers", "net_revenue_12m"),
        "currency": currency,
    }


def health_section(rows: Rows) -> Section:
    """Each source on the newest day, and the sums of 28 days with the accounting identity."""
    newest = max((row["day"] for row in rows), default=None)
    sources = []
    for source, history in groupby(rows, key=lambda row: row["source"]):
        days = list(history)
        sums = {field: sum(row[field] for row in days) for field in ("landed", *FATES)}
        sources.append(
            {
                "source": source,
                "last": days[-1],
                "is_newest": days[-1]["day"] == newest,
                "sums": sums,
                "missing": sums["landed"] - sum(sums[fate] for fate in FATES),
                "shares": [(fate, sums[fate] / sums["landed"]) for fate in FATES if sums["landed"] and sums[fate]],
                "bad_days": sum(row["status"] in ("failed", "degraded") for row in days),
            }
        )
    return {"sources": sources, "day": newest, "fates": FATES}


def _weeks(days: Rows, most: int = 26) -> list[Rows]:
    """Whole weeks, the last one ending on the newest day."""
    count = min(len(days) // 7, most)
    return [days[len(days) - 7 * place : len(days) - 7 * (place - 1)] for place in range(count, 0, -1)]


def _labelled(days: Rows, field: str, unit: str, words: str) -> list[dict[str, Any]]:
    return [
        {
            "day": row["day"].isoformat(),
            field: row[field],
            f"{field}_mean": row[f"{field}_mean"],
            "label": f"{short_day(row['day'])}: {unit}{whole(row[field])} {words}",
        }
        for row in days
    ]


def _period(days: Rows) -> str:
    return f"{short_day(days[-YEAR:][0]['day'])} to {short_day(days[-1]['day'])}"


def _if_several(days: Rows, draw: Any) -> Markup | None:
    return draw() if len(days) > 1 else None
