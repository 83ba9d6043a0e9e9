"""How things stand, in words: what `make run` ends with and `perennial status` prints."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from perennial.flows import reading
from perennial.foundation.settings import Settings

_WHY = 3  # reasons shown of each source


def summary(settings: Settings) -> str:
    """
    The newest publication and the ledger on one page of plain text.

    Raises BadConfig when nothing is published yet.
    """
    return "\n".join(_lines(reading.status(settings), settings))


def _lines(found: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    people = found["customers"]
    yield f"Day {found['day']}, published {found['published_at']}"
    yield ""
    yield "Rows in, and where they are now"
    yield f"  {'':18}{'landed':>9}{'current':>9}{'replaced':>9}{'twice':>7}{'refused':>9}{'waiting':>9}  state"
    for row in found["data_health"]:
        refused = row["quarantined"] + row["refused"]
        yield (
            f"  {row['source']:18}{row['landed']:9,}{row['current']:9,}{row['superseded']:9,}{row['duplicate']:7,}"
            f"{refused:9,}{row['held']:9,}  {row['status']}"
        )
    yield ""
    yield "Refused, and why"
    yield from _refusals(found["refusals"]) if found["refusals"] else ["  nothing"]
    yield ""
    yield (
        f"Customers   {people['customers']:,}, of whom {people['buyers']:,} have bought and "
        f"{people['repeat_buyers']:,} more than once"
    )
    yield f"Segments    {_counts(found['segments'])}"
    yield f"Tiers       {_counts(found['tiers'])}"
    yield f"Churn risk  {_counts(found['churn_risk'])}"
    yield ""
    yield "Decisions, by reason"
    for campaign, decided in found["decisions"].items():
        yield f"  {campaign:20}  {decided['send_day']}  {_counts(decided['reasons'])}"
    if not found["decisions"]:
        yield "  none yet"
    yield f"Messages    {_counts(found['messages'])}"
    for waiting in found["waiting_for_approval"]:
        yield f"  waits for an approval: {waiting}"
    for paused in found["paused"]:
        yield f"  paused: {paused}"
    if found["set_aside"]:
        yield f"Set aside   {_counts(found['set_aside'])} (events of providers: the ledger's set_aside_events)"
    yield ""
    yield from _day(found["kpis"], settings.currency)
    yield ""
    yield f"A rebuild   {_horizon(found['rebuild_horizon'])}"
    if found["failures"]:
        yield ""
        yield "Failures"
        for failure in found["failures"]:
            yield "  " + ", ".join(str(value) for value in failure.values())
    yield ""
    yield "Look at"
    yield f"  report     {found['folder']}/report.html"
    yield f"  tables     {found['folder']}/perennial.duckdb (and .parquet; dictionary.html says what they mean)"
    if settings.delivery == "mailbox":
        yield f"  mailbox    {settings.mailbox_dir}"
    yield "  a customer perennial explain <customer_id>"


def _day(kpis: Mapping[str, Any] | None, money: str) -> Iterator[str]:
    if kpis is None:
        yield "The day     nothing was sold or heard yet"
        return
    yield (
        f"The day     {kpis['orders']:,} orders ({kpis['guest_orders']:,} by guests), net revenue "
        f"{kpis['net_revenue']:,.2f} {money}, refunds {kpis['refunds']:,.2f} {money}, "
        f"average order {kpis['aov'] or 0:,.2f} {money}"
    )
    yield (
        f"            {kpis['active_customers']:,} active customers, {kpis['new_customers']:,} new; "
        f"{kpis['repeat_purchase_rate'] or 0:.1%} of buyers have come back"
    )


def _horizon(horizon: Mapping[str, Any]) -> str:
    if horizon["came_until"] is None:
        return "would make all tables as they are: the landing has every file as it came"
    return (
        f"would be exact from files that came after {horizon['came_until']}; "
        f"{horizon['pseudonymised_files']:,} older ones are pseudonymised"
    )


def _refusals(rows: list[dict[str, Any]]) -> Iterator[str]:
    for source in dict.fromkeys(row["source"] for row in rows):
        reasons = [row for row in rows if row["source"] == source]
        for row in reasons[:_WHY]:
            if row["file"]:
                why = row["why"].removeprefix(f"Source {source}, file {row['file']}: ")
                yield f"  {source:18}{row['file']}: {why}"
            else:
                yield f"  {source:18}{row['rows']:,} rows: {', '.join(json.loads(row['why']))}"
        if len(reasons) > _WHY:
            yield f"  {source:18}and {len(reasons) - _WHY} more kinds"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items() if number) or "none"
