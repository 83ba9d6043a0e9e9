"""What a person may ask at any time: read from the newest publication and the ledger, never from the warehouse."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from perennial.flows.publications import LATEST, MANIFEST
from perennial.flows.retention import rebuild_horizon
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import EVERYTHING, Approval, open_ledger
from perennial.metrics.words import REASONS, percent, plain
from perennial.warehouse.snapshot import Snapshot, open_snapshot

Row = dict[str, Any]
_MESSAGE_FIELDS = ("message_id", "campaign", "send_day", "variant", "state", "reason", "accepted_at")
_FAILURES = 5


def published_folder(settings: Settings) -> Path:
    """The newest publication; raises BadConfig when there is none."""
    try:
        return (settings.published_dir / LATEST).resolve(strict=True)
    except OSError as error:
        raise BadConfig(
            f"{settings.published_dir}: nothing is published yet. Run a day first, for example `perennial run`."
        ) from error


@contextmanager
def _published(settings: Settings) -> Iterator[tuple[Snapshot, Row]]:
    """The newest snapshot and its manifest."""
    folder = published_folder(settings)
    manifest: Row = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    with open_snapshot(folder, settings) as snapshot:
        yield snapshot, manifest


def query(sql: str, settings: Settings) -> pa.Table:
    """
    Run one SELECT over the published tables, read-only and without access to files or network.

    Raises BadConfig when nothing is published yet, Permanent (which lists the tables) for SQL that cannot be run.
    """
    with _published(settings) as (snapshot, _):
        return snapshot.query(sql)


def status(settings: Settings) -> Row:
    """
    How things stand: what is published, and what the ledger says right now. `kpis` is None before anything happened.

    Raises BadConfig when nothing is published yet.
    """
    with _published(settings) as (snapshot, manifest):

        def counts(sql: str) -> dict[str, int]:
            return {row["name"]: row["number"] for row in snapshot.query(sql).to_pylist()}

        found: Row = {
            "day": manifest["day"],
            "published_at": manifest["published_at"],
            "folder": str(published_folder(settings)),
            "data_health": snapshot.query(
                "select source, status, failing_check, freshness_hours, landed, current, superseded, duplicate,"
                " quarantined, held, refused from marts.data_health"
                " where day = (select max(day) from marts.data_health) order by source"
            ).to_pylist(),
            "refusals": snapshot.query(
                "select source, why, file, rows from internal.refusals order by source, rows desc, why, file"
            ).to_pylist(),
            "kpis": _first(
                snapshot.query(
                    "select orders, guest_orders, active_customers, new_customers, net_revenue, refunds, aov,"
                    " repeat_purchase_rate from marts.daily_kpis where day = (select max(day) from marts.daily_kpis)"
                )
            ),
            "customers": snapshot.query(
                "select count(*) as customers, count(*) filter (where orders > 0) as buyers,"
                " count(*) filter (where orders > 1) as repeat_buyers from marts.customer_360"
            ).to_pylist()[0],
            "segments": counts(
                "select segment as name, customers as number from marts.segment_daily"
                " where day = (select max(day) from marts.segment_daily) order by customers desc, segment"
            ),
            "tiers": counts(
                "select levels.tier as name, count(customers.customer_id) as number from internal.tier_levels as levels"
                " left join marts.customer_360 as customers on levels.tier = customers.tier"
                " group by levels.place, levels.tier order by levels.place"
            ),
            "churn_risk": counts(
                "select churn_risk as name, count(*) as number from internal.churn group by churn_risk"
                " order by min(overdue)"
            ),
        }
    with open_ledger(settings) as ledger:
        newest = {frozen.campaign: frozen for frozen in ledger.campaign_runs()}  # oldest first: the newest stays
        found["decisions"] = {
            campaign: {"send_day": frozen.send_day.isoformat(), "reasons": frozen.counts}
            for campaign, frozen in sorted(newest.items())
        }
        found["messages"] = ledger.counts_by_state()
        found["waiting_for_approval"] = [
            f"{run.campaign} for {run.send_day}" for run in ledger.campaign_runs() if run.approval is Approval.WAITING
        ]
        found["paused"] = [
            f"{'all delivery' if pause.subject == EVERYTHING else pause.subject} since {pause.since:%Y-%m-%d %H:%M} UTC"
            f" by {pause.by}: {pause.why}"
            for pause in ledger.pauses()
        ]
        found["set_aside"] = {f"{row['provider']} {row['reason']}": row["events"] for row in ledger.set_aside_counts()}
    files, until = rebuild_horizon(settings)
    found["rebuild_horizon"] = {"pseudonymised_files": files, "came_until": until}
    found["failures"] = _newest_failures(settings)
    return found


def _first(table: pa.Table) -> Row | None:
    rows: list[Row] = table.slice(0, 1).to_pylist()
    return rows[0] if rows else None


def explain(customer_id: str, settings: Settings) -> Row:
    """
    Why a customer is where they are: profile, segments, tier, risk, decisions and messages, each with its reason.

    A number that became another's is looked up as that one. Raises BadConfig for a customer who is not in the newest
    publication, or when there is none.
    """
    with _published(settings) as (snapshot, manifest):
        current = snapshot.query(
            "select customer_id from internal.merged_customers where former_id = $customer_id", customer_id=customer_id
        )["customer_id"].to_pylist()
        customer_id = current[0] if current else customer_id

        def rows(sql: str) -> list[Row]:
            found: list[Row] = snapshot.query(sql, customer_id=customer_id).to_pylist()
            return found

        profile = rows("select * from marts.customer_360 where customer_id = $customer_id")
        if not profile:
            raise BadConfig(f"Customer {customer_id!r} is not in the publication of {manifest['day']}.")
        found: Row = {
            "day": manifest["day"],
            "customer_id": customer_id,
            "profile": profile[0],
            "has_address": profile[0]["email_domain"] is not None,
            "identity": {
                "also_known_as": [
                    row["former_id"]
                    for row in rows(
                        "select former_id from internal.merged_customers where customer_id = $customer_id order by 1"
                    )
                ],
                "links": rows(
                    "select identity_name, linked_name, first_day as since, counts from internal.links"
                    " where customer_id = $customer_id order by since, identity_name, linked_name"
                ),
                "changes": rows(
                    "select day, former_id, customer_id, change from internal.customer_merges where former_id"
                    " = $customer_id or customer_id = $customer_id order by day, former_id"
                ),
            },
            "segments": rows(
                "with entered as ("
                " select segment, max(day) as since_day from internal.membership_changes"
                " where customer_id = $customer_id and change = 'entered' group by segment)"
                " select segments.segment, segments.title, segments.description, segments.rule, entered.since_day"
                " from marts.customer_360 as profile"
                " join internal.segments as segments"
                " on list_contains(string_split(profile.segments, ','), segments.segment)"
                " left join entered on segments.segment = entered.segment"
                " where profile.customer_id = $customer_id order by segments.place"
            ),
            "tier": _tier(
                rows(
                    "select tiers.*, levels.from_points, levels.qualifying_days"
                    " from internal.tiers as tiers join internal.tier_levels as levels on tiers.tier = levels.tier"
                    " where tiers.customer_id = $customer_id"
                )[0],
                rows(
                    "select rule, entries, points, qualifying_points, first_day, last_day from internal.points"
                    " where customer_id = $customer_id order by points desc, rule"
                ),
            ),
            "churn": _churn(rows("select * exclude customer_id from internal.churn where customer_id = $customer_id")),
            "decisions": [
                {**row, "why": REASONS.get(row["reason"], plain(row["reason"]))}
                for row in rows(
                    "select campaign, send_day, reason, failing_check, arm, variant from internal.decisions"
                    " where customer_id = $customer_id or customer_id in ("
                    "select former_id from internal.merged_customers where customer_id = $customer_id)"
                    " order by send_day desc, campaign"
                )
            ],
        }
    with open_ledger(settings) as ledger:
        numbers = (customer_id, *found["identity"]["also_known_as"])
        found["messages"] = [
            {field: message[field] for field in _MESSAGE_FIELDS} for message in ledger.messages_of(*numbers)
        ]
    return found


def _tier(tier: Row, entries: list[Row]) -> Row:
    del tier["customer_id"]
    why = (
        f"{tier['qualifying_points']} points earned in {tier['qualifying_days']} days; "
        f"{tier['tier']} starts at {tier['from_points']}"
    )
    if tier["next_tier"]:
        why += f", and {tier['points_to_next_tier']} more lead to {tier['next_tier']}"
    return {**tier, "why": f"{why}.", "entries": entries}


def _churn(scores: list[Row]) -> Row:
    if not scores:
        return {"churn_risk": "low", "why": "Has never bought, so cannot be lost."}
    score = scores[0]
    rhythm = "their own rhythm" if score["gaps"] else "the shop's usual rhythm (there is one purchase only)"
    return {
        **score,
        "why": f"Silent for {score['silent_days']} days, {score['overdue']:.1f} times {rhythm} of "
        f"{score['expected_gap_days']:.0f} days; medium from {score['medium_at']:g}, high from {score['high_at']:g} "
        f"times. With this rhythm, {percent(1 - score['churn_probability'], 0)} of people stay silent that long.",
    }


def _newest_failures(settings: Settings) -> list[Row]:
    """The newest failed tasks, newest first; a line that is still being written is left out."""
    path = settings.home / "failures.jsonl"
    if not path.exists():
        return []
    found = []
    for line in reversed(path.read_text(encoding="utf-8").splitlines()):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
        if len(found) == _FAILURES:
            break
    return found
