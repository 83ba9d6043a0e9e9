"""Campaign files, contact policy and laws as tables, and who is considered, as SQL written from them."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parseaddr
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pyarrow as pa

from perennial.campaigns.contact_policy import load_contact_policy
from perennial.campaigns.definition import Campaign, load_campaigns
from perennial.campaigns.festivals import load_festivals
from perennial.campaigns.laws import load_laws
from perennial.campaigns.triggers import DueDay, due_on
from perennial.contracts import load_contracts
from perennial.foundation.days import Run
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.sources import load_sources

BUCKETS = 10_000  # shares of experiments are cut to a hundredth of a per cent
Rows = list[dict[str, object]]
Columns = Mapping[str, pa.DataType]

_TEXT, _WHOLE, _REAL, _FLAG, _DAY = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.date32()
_MOMENT = pa.timestamp("us", tz="UTC")


def candidates_sql(campaigns: Iterable[Campaign]) -> str:
    """One query for whom every campaign considers: campaign, customer_id, occurrence."""
    found = "\nunion all\n".join(
        f"select '{one.id}' as campaign, people.customer_id, occasions.occurrence\n"
        f"from ({audience_sql(one)}) as people\n"
        f"{_occasions(one)} where occasions.campaign = '{one.id}'"
        for one in campaigns  # ids are checked names, conditions are written from a checked tree
    )
    return (
        found
        or "select customer_id as campaign, customer_id, customer_id as occurrence from core.customers where false"
    )


def audience_sql(campaign: Campaign) -> str:
    """Whom a campaign may be for: customer_id."""
    return f"select customer_id from campaigns.audience where {_who(campaign)}"


def _occasions(campaign: Campaign) -> str:
    if campaign.file.trigger.is_by_calendar:
        return "cross join rules.due_days as occasions"
    return "inner join campaigns.occasions as occasions on people.customer_id = occasions.customer_id"


def _who(campaign: Campaign) -> str:
    excluded = " ".join(
        f"and not exists (select 1 from segments.membership as excluded where excluded.segment = '{segment}'"
        " and excluded.customer_id = audience.customer_id)"
        for segment in campaign.file.audience.exclude
    )
    leaves = f"and ({campaign.leaves.sql}) is not true" if campaign.leaves else ""  # what is not known ends nothing
    return " ".join(filter(None, (f"({campaign.audience.sql})", excluded, leaves)))


def campaign_tables(settings: Settings) -> dict[str, pa.Table]:
    """What holds on any day; raises BadConfig naming file, field and value."""
    campaigns = load_campaigns(settings)
    policy = load_contact_policy(settings)
    book = load_laws(settings)
    tables: dict[str, tuple[Columns, Rows]] = {
        "rules.campaigns": (
            {
                "campaign": _TEXT,
                "purpose": _TEXT,
                "topic": _TEXT,
                "priority": _WHOLE,
                "holdout": _REAL,
                "repeat_at_most": _WHOLE,
                "repeat_days": _WHOLE,
                "goal_days": _WHOLE,
                "coupon_pool": _TEXT,
                "partner": _TEXT,
            },
            [_campaign_row(campaign) for campaign in campaigns],
        ),
        "rules.campaign_needs": ({"campaign": _TEXT, "source": _TEXT}, _needs(campaigns, settings)),
        "rules.campaign_variants": (
            {"campaign": _TEXT, "variant": _TEXT, "from_bucket": _WHOLE, "to_bucket": _WHOLE},
            [row for campaign in campaigns for row in _variant_rows(campaign)],
        ),
        "rules.detractors": (
            {"csat_at_most": _WHOLE, "nps_at_most": _WHOLE, "hold_days": _WHOLE},
            [policy.detractors.model_dump()],
        ),
        "rules.contact_policy": (
            {
                "at_most": _WHOLE,
                "every_days": _WHOLE,
                "min_gap_days": _WHOLE,
                "cycle_share": _REAL,
                "cycle_days": _WHOLE,
                "global_holdout": _REAL,
                "consent_by_law": _FLAG,
            },
            [
                {
                    "at_most": policy.promotional.at_most,
                    "every_days": policy.promotional.every_days,
                    "min_gap_days": policy.min_gap_days,
                    "cycle_share": float(policy.purchase_cycle.share) if policy.purchase_cycle else None,
                    "cycle_days": policy.purchase_cycle.at_most_days if policy.purchase_cycle else None,
                    "global_holdout": float(policy.global_holdout),
                    "consent_by_law": policy.consent == "by_law",
                }
            ],
        ),
        "rules.topic_caps": (
            {"topic": _TEXT, "at_most": _WHOLE, "every_days": _WHOLE},
            [cap.model_dump() for cap in policy.topics],
        ),
        # A row for each country that a law names, and one without a country for the others.
        "rules.laws": (
            {"country": _TEXT, "needs_consent": _FLAG},
            [
                {"country": country, "needs_consent": law.consent == "express"}
                for law in book.laws.values()
                for country in law.countries
            ]
            + [{"country": "", "needs_consent": book.laws[book.elsewhere].consent == "express"}],
        ),
        **_trigger_tables(campaigns),
    }
    return _as_tables(tables)


def _trigger_tables(campaigns: Collection[Campaign]) -> dict[str, tuple[Columns, Rows]]:
    """A table for each kind of trigger that is about a person, with a row for each campaign that has it."""
    common = {"campaign": _TEXT, "good_for_days": _WHOLE}

    def rows(kind: str) -> list[tuple[dict[str, object], dict[str, Any]]]:
        return [
            ({"campaign": one.id, "good_for_days": one.file.trigger.good_for}, found.model_dump())
            for one in campaigns
            if (found := getattr(one.file.trigger, kind)) is not None
        ]

    changes = {"on_enter": "entered", "on_exit": "left"}
    steps = [(shared, found, found.pop("unless"), found.pop("campaign")) for shared, found in rows("after")]
    return {
        "rules.segment_triggers": (
            common | {"segment": _TEXT, "change": _TEXT},
            [shared | found | {"change": change} for kind, change in changes.items() for shared, found in rows(kind)],
        ),
        "rules.event_triggers": (
            common | {"kind": _TEXT, "channel": _TEXT, "days_after": _WHOLE},
            [shared | found for shared, found in rows("on_event")],
        ),
        "rules.date_triggers": (
            common | {"field": _TEXT, "days_before": _WHOLE},
            [shared | found for shared, found in rows("on_date")],
        ),
        "rules.tier_triggers": (
            common | {"change": _TEXT},
            [shared | found for shared, found in rows("on_tier_change")],
        ),
        "rules.points_triggers": (
            common | {"within_days": _WHOLE},
            [shared | found for shared, found in rows("points_expiring")],
        ),
        "rules.replenishment_triggers": (
            common | {"per": _TEXT, "days_before": _WHOLE},
            [shared | found for shared, found in rows("replenishment_due")],
        ),
        "rules.step_triggers": (
            common | {"parent": _TEXT, "days": _WHOLE, "ordered": _FLAG, "opened": _FLAG, "clicked": _FLAG},
            [
                shared | found | {"parent": parent} | {name: ends[name] for name in ("ordered", "opened", "clicked")}
                for shared, found, ends, parent in steps
            ],
        ),
    }


def send_day_tables(
    run: Run, settings: Settings, *, planned_until: date | None = None, codes: Mapping[str, int] | None = None
) -> dict[str, pa.Table]:
    """
    What holds on the run's send day.

    `planned_until` is the send day that was planned before it, `codes` how many of each pool are left: the ledger
    knows them, when it comes to planning.
    """
    policy, campaigns = load_contact_policy(settings), load_campaigns(settings)
    domain = parseaddr(settings.sender)[1].partition("@")[2]
    warm_up = policy.warm_up_limit(domain, settings.delivery, run.send_day)
    ends = datetime.combine(run.send_day, time(), settings.zone).astimezone(UTC)
    wants_best_hour = any(one.file.send_at == "best_hour" for one in campaigns)
    window = policy.best_hour.within_days
    tables: dict[str, tuple[Columns, Rows]] = {
        "rules.due_days": (
            {"campaign": _TEXT, "due_day": _DAY, "occurrence": _TEXT},
            [
                {"campaign": one.id, "due_day": found.day, "occurrence": found.occurrence}
                for one, found in due_by_calendar(run.send_day, planned_until, settings)
            ],
        ),
        # Carts filled after the first moment and not after the second.
        "rules.cart_triggers": (
            {"campaign": _TEXT, "from_moment": _MOMENT, "to_moment": _MOMENT},
            [
                {"campaign": one.id, "from_moment": until - one.file.trigger.window, "to_moment": until}
                for one in campaigns
                if (cart := one.file.trigger.abandoned_cart)
                for until in [ends - timedelta(hours=cart.after_hours)]
            ],
        ),
        "rules.warm_up": ({"daily": _WHOLE}, [] if warm_up is None else [{"daily": warm_up}]),
        "rules.coupon_pools": (
            {"pool": _TEXT, "codes": _WHOLE},
            [{"pool": pool, "codes": count} for pool, count in sorted((codes or {}).items())],
        ),
        "rules.best_hour": (
            {"at_least": _WHOLE, "from_day": _DAY, "timezone": _TEXT},
            [
                {
                    "at_least": policy.best_hour.at_least,
                    "from_day": run.send_day - timedelta(days=window),
                    "timezone": settings.timezone,
                }
            ]
            if wants_best_hour
            else [],
        ),
        "rules.zone_offsets": (
            {"timezone": _TEXT, "from_moment": _MOMENT, "to_moment": _MOMENT, "minutes": _WHOLE},
            _offsets(ends - timedelta(days=window + 2), ends) if wants_best_hour else [],
        ),
    }
    return _as_tables(tables)


def due_by_calendar(send_day: date, planned_until: date | None, settings: Settings) -> list[tuple[Campaign, DueDay]]:
    """The campaigns that are due for everybody on the send day, or were on days before it that nobody planned."""
    festivals = load_festivals(settings)
    return [
        (campaign, found)
        for campaign in load_campaigns(settings)
        if (found := due_on(campaign.file.trigger, send_day, planned_until, festivals)) is not None
    ]


def _offsets(first: datetime, last: datetime) -> Rows:
    """How far each zone's clocks were ahead of UTC, and from when to when: engines know zones by other names."""
    rows: Rows = []
    for name in sorted(available_timezones()):
        zone, begins = ZoneInfo(name), first
        while begins < last:
            ahead = _ahead(zone, begins)
            ends = begins
            for step in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=15)):
                while ends < last and _ahead(zone, min(ends + step, last)) == ahead:
                    ends = min(ends + step, last)
            ends = min(ends + timedelta(minutes=15), last)
            rows.append({"timezone": name, "from_moment": begins, "to_moment": ends, "minutes": ahead})
            begins = ends
    return rows


def _ahead(zone: ZoneInfo, moment: datetime) -> int:
    """Minutes."""
    return int((moment.astimezone(zone).utcoffset() or timedelta()) / timedelta(minutes=1))


def _campaign_row(campaign: Campaign) -> dict[str, object]:
    file = campaign.file
    return {
        "campaign": campaign.id,
        "purpose": file.purpose,
        "topic": file.topic,
        "priority": file.priority,
        "holdout": float(file.experiment.holdout),
        "repeat_at_most": file.repeat.at_most,
        "repeat_days": file.repeat.every_days,
        "goal_days": file.goal.within_days,
        "coupon_pool": file.offer.coupons if file.offer else None,
        "partner": file.partner,
    }


def _needs(campaigns: Iterable[Campaign], settings: Settings) -> Rows:
    """Campaign and source, for each source that a campaign needs by its name or by its contract's."""
    contract_of = {name: source.contract.name for name, source in load_sources(settings).items()}
    known = {*contract_of, *load_contracts(settings)}
    rows: Rows = []
    for campaign in campaigns:
        for need in campaign.file.needs:
            if need not in known:
                raise BadConfig(
                    f"{campaign.folder / 'campaign.yaml'}: field needs: {need!r} is neither a contract nor a source. "
                    f"There are: {', '.join(sorted(known))}."
                )
        needed = [name for name, contract in contract_of.items() if {name, contract} & {*campaign.file.needs}]
        rows += [{"campaign": campaign.id, "source": name} for name in needed]
    return rows


def _variant_rows(campaign: Campaign) -> Rows:
    variants = campaign.file.experiment.variants
    total = sum(variant.weight for variant in variants)
    bounds = [BUCKETS * sum(v.weight for v in variants[:place]) // total for place in range(len(variants) + 1)]
    return [
        {"campaign": campaign.id, "variant": variant.name, "from_bucket": start, "to_bucket": end}
        for variant, (start, end) in zip(variants, pairwise(bounds), strict=True)
    ]


def _as_tables(tables: Mapping[str, tuple[Columns, Rows]]) -> dict[str, pa.Table]:
    return {name: pa.Table.from_pylist(rows, pa.schema(columns)) for name, (columns, rows) in tables.items()}
