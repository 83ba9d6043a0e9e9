"""Which tables are published: for BI the public ones, for `explain`, `status` and the report some more."""

from collections.abc import Mapping

import pyarrow as pa

from perennial.campaigns.definition import load_campaigns
from perennial.foundation.days import Run
from perennial.foundation.settings import Settings
from perennial.segments.definitions import load_segments
from perennial.segments.rfm import load_rfm_map
from perennial.warehouse import Model
from perennial.warehouse.snapshot import SnapshotTable

_PUBLIC_BY_DAY = {"core.orders": "ordered_date"}  # beside `marts`; they grow with history

# What `explain` and the report read beyond the public tables. No personal data.
_INTERNAL = {
    "internal.tier_levels": """
        select tiers.place, tiers.tier, tiers.from_points, books.qualifying_days
        from rules.tiers as tiers cross join rules.loyalty as books
    """,
    "internal.tiers": """
        select customer_id, tier, qualifying_points, next_tier, points_to_next_tier
        from loyalty.tiers
    """,
    "internal.points": """
        select
            entries.customer_id, entries.rule, count(*) as entries,
            cast(sum(entries.points) as bigint) as points,
            cast(sum(
                case when entries.rule <> 'redeemed'
                    and date_diff('day', entries.day, $day) < books.qualifying_days then entries.points else 0 end
            ) as bigint) as qualifying_points,
            min(entries.day) as first_day, max(entries.day) as last_day
        from loyalty.points_entries as entries cross join rules.loyalty as books
        where entries.day <= $day
        group by entries.customer_id, entries.rule
    """,
    "internal.churn": """
        select
            scores.customer_id, scores.churn_risk, scores.churn_probability, scores.gaps, scores.silent_days,
            scores.expected_gap_days, scores.overdue, books.medium_at, books.high_at
        from churn.scores as scores cross join rules.churn as books
    """,
    "internal.membership_changes": """
        select day, segment, customer_id, change
        from segments.membership_changes
    """,
    "internal.refusals": """
        select source, reasons as why, cast(null as text) as file, count(*) as rows
        from quarantine.rows
        where day = $day
        group by source, reasons
        union all
        select source, reason as why, file, rows
        from raw.files
        where day = $day and status in ('refused', 'held')
    """,
    "internal.merged_customers": """
        select former_id, customer_id
        from core.merged_customers
    """,
    "internal.customer_merges": """
        select day, former_id, customer_id, change
        from core.customer_merges
    """,
    # Of people who were several, and links that do not count: the others explain themselves.
    "internal.links": """
        select
            people.customer_id, links.identity_name, links.linked_name, links.first_day,
            trusted.linked is not null as counts
        from core.links as links
        join core.identities as people on links.identity = people.identity
        left join core.trusted_links as trusted
            on links.identity = trusted.identity and links.linked = trusted.linked
        where links.identity <> links.linked
            and (trusted.linked is null or people.customer_id in (select customer_id from core.merged_customers))
    """,
    "internal.decisions": """
        select campaign, send_day, customer_id, arm, variant, reason, failing_check, coalesce(people, 1) as people
        from campaigns.decisions
    """,
}

_INTERNAL_HISTORY = {"internal.membership_changes": "day", "internal.decisions": "send_day"}

_TEXT, _WHOLE = pa.string(), pa.int64()
_SEGMENTS = pa.schema({"place": _WHOLE, "segment": _TEXT, "title": _TEXT, "description": _TEXT, "rule": _TEXT})
_CAMPAIGNS = pa.schema({"campaign": _TEXT, "title": _TEXT, "goal_days": _WHOLE})
_RFM_MAP = pa.schema({"place": _WHOLE, "segment": _TEXT, "code": _TEXT})


def public_models(models: Mapping[str, Model]) -> list[Model]:
    """The models whose tables are for BI."""
    return [models[table] for table in _PUBLIC_BY_DAY] + [model for model in models.values() if model.schema == "marts"]


def published_tables(models: Mapping[str, Model], run: Run, settings: Settings) -> list[SnapshotTable]:
    """All of them, as of the end of the run's day."""
    public = [_public_table(model, _PUBLIC_BY_DAY.get(model.table, "")) for model in public_models(models)]
    internal = [
        SnapshotTable(
            table,
            sql.replace("$day", f"date '{run.day}'"),
            "For `perennial explain` and the report.",
            day=_INTERNAL_HISTORY.get(table, ""),
            is_history=table in _INTERNAL_HISTORY,
        )
        for table, sql in _INTERNAL.items()
    ]
    segments = [
        {
            "place": place,
            "segment": segment.name,
            "title": segment.title,
            "description": segment.description,
            "rule": segment.condition.text,
        }
        for place, segment in enumerate(load_segments(settings), start=1)
    ]
    campaigns = [
        {"campaign": campaign.id, "title": campaign.file.name, "goal_days": campaign.file.goal.within_days}
        for campaign in load_campaigns(settings)
    ]
    rfm = [
        {"place": place, "segment": name, "code": str(code)}
        for place, (name, codes) in enumerate(load_rfm_map(settings).segments.items(), start=1)
        for code in codes
    ]
    return [
        *public,
        *internal,
        SnapshotTable("internal.segments", pa.Table.from_pylist(segments, _SEGMENTS), "The segments and their rules."),
        SnapshotTable("internal.campaigns", pa.Table.from_pylist(campaigns, _CAMPAIGNS), "The campaigns there are."),
        SnapshotTable("internal.rfm_map", pa.Table.from_pylist(rfm, _RFM_MAP), "The name of each RFM code."),
    ]


def _public_table(model: Model, day: str) -> SnapshotTable:
    order = ", ".join([day, *model.grain] if day else model.grain)
    rows = f"select {', '.join(model.columns)} from {model.table} order by {order}"
    return SnapshotTable(model.table, rows, model.sentence, model.columns, is_public=True, day=day)
