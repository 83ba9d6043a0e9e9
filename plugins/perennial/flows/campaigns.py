"""Who hears from us on the send day, and why or why not: decided once, frozen, then queued."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from perennial.campaigns.contact_policy import load_contact_policy
from perennial.campaigns.definition import Campaign, load_campaigns
from perennial.campaigns.names import first_name
from perennial.flows.day_order import is_outdated
from perennial.flows.mirror import DECISIONS, mirror_ledger
from perennial.flows.tables import build_schema, open_tables, rule_tables
from perennial.foundation.days import Run, run_of, yesterday, zone_of
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import Ledger, NewCampaignRun, NewMessage, NewTemplate, open_ledger
from perennial.templates.compile import compile_template
from perennial.templates.context import Product, RenderContext
from perennial.templates.lint import require_sound
from perennial.warehouse import Warehouse

log = logging.getLogger(__name__)

_OUTBOX_SQL = """
select
    plan.customer_id, plan.arm, plan.variant, customers.email as address, customers.name, audience.locale,
    audience.timezone,
    audience.tier, audience.previous_tier, audience.next_tier, audience.points_balance, audience.points_to_next_tier,
    audience.favourite_category, audience.recency_days, audience.orders
from campaigns.plan as plan
join campaigns.audience as audience on audience.customer_id = plan.customer_id
join core.customers as customers on customers.customer_id = plan.customer_id
where plan.campaign = $campaign and plan.reason = 'send'
order by plan.customer_id
"""
OUTBOX = pa.schema(
    {
        name: pa.string()
        for name in ("customer_id", "address", "locale", "timezone", "arm", "variant", "template_hash", "context")
    }
)


def due(run: Run, settings: Settings) -> list[str]:
    """The campaigns whose schedule names the run's send day; none for a run that may not queue."""
    if not run.origin.may_queue:
        return []
    return [campaign.id for campaign in load_campaigns(settings) if campaign.is_due(run.send_day)]


def plan(run: Run, settings: Settings) -> dict[str, dict[str, int]]:
    """
    Decide about every candidate of every campaign due on the send day, all together, and freeze the decisions.

    A campaign that is frozen for the send day stays as it is. A run that may not queue decides nothing: a decision is
    something we did. Returns decisions by campaign and reason.
    """
    with open_tables(run, settings) as (warehouse, materializer):
        if is_outdated(run, warehouse):
            return {}
        for table, rows in rule_tables(settings).items():  # campaign files may have changed since the refresh
            materializer.load_rules(table, rows)
        mirror_ledger(warehouse, settings)
        build_schema("campaigns", materializer)
        if not run.origin.may_queue:
            log.info("%s is a %s run: no campaign is planned.", run.day, run.origin)
            return {}
        with open_ledger(settings) as ledger:
            frozen = {found.campaign for found in ledger.campaign_runs(send_day=run.send_day)}
            todo = [c for c in load_campaigns(settings) if c.is_due(run.send_day) and c.id not in frozen]
            require_sound(todo)  # a mail that cannot be written would be frozen, and lost
            templates = [template for campaign in todo for template in _templates(campaign)]
            runs = [_freeze(campaign, run, warehouse, ledger, templates, settings) for campaign in todo]
            ledger.freeze(runs, templates, run.origin)
            return {found.campaign: found.counts for found in ledger.campaign_runs(send_day=run.send_day)}


def allow_stale_data(
    campaign: str, send_day: date | None, settings: Settings, *, by: str, why: str
) -> dict[str, object]:
    """
    Let a campaign be decided for one send day (None: the one after the clock's yesterday) on data that are not fit.

    Raises BadConfig for an unknown campaign, or one that was decided already and not held for its data.
    """
    known = [found.id for found in load_campaigns(settings)]
    if campaign not in known:
        raise BadConfig(f"There is no campaign {campaign!r}. There are: {', '.join(known)}.")
    day = send_day or run_of(yesterday(settings), settings).send_day
    with open_ledger(settings) as ledger:
        given_up = ledger.allow_stale_data(campaign, day, by=by, why=why)
    return {"campaign": campaign, "send_day": day.isoformat(), "decided_anew": given_up}


def queue(campaign: str, run: Run, settings: Settings) -> dict[str, int]:
    """Put the frozen mails of one campaign into the outbox; needs the ledger alone. Queueing again adds nothing."""
    definition = next(found for found in load_campaigns(settings) if found.id == campaign)
    with open_ledger(settings) as ledger:
        frozen = next(iter(ledger.campaign_runs(campaign=campaign, send_day=run.send_day)), None)
        if frozen is None:
            return {"queued": 0}
        outbox = ledger.read_frozen(frozen.outbox)
        rows = _messages(definition, frozen.occurrence, outbox, run, settings)
        queued = ledger.queue(run, campaign, settings.delivery, rows)
        return {"queued": queued, "outbox": outbox.num_rows}


def _templates(campaign: Campaign) -> list[NewTemplate]:
    return [
        NewTemplate(campaign.id, locale, variant.name, compiled.subject, compiled.html, compiled.text)
        for locale in campaign.locales
        for variant in campaign.file.experiment.variants
        for compiled in [compile_template(campaign, locale, variant.name)]
    ]


def _freeze(
    campaign: Campaign, run: Run, warehouse: Warehouse, ledger: Ledger, templates: list[NewTemplate], settings: Settings
) -> NewCampaignRun:
    """Write the decisions and the outbox of one campaign to files; the ledger's row makes them count."""
    occurrence = run.send_day.isoformat()
    decisions = warehouse.query(
        f"select campaign, $send_day::date as send_day, $occurrence as occurrence, {', '.join(DECISIONS.names[3:])}"
        " from campaigns.plan where campaign = $campaign order by customer_id",
        campaign=campaign.id,
        send_day=run.send_day,
        occurrence=occurrence,
    ).cast(DECISIONS)
    hashes = {(t.locale, t.variant): t.hash for t in templates if t.campaign == campaign.id}
    bestsellers = _bestsellers(warehouse, settings)
    outbox = [
        {
            "customer_id": row["customer_id"],
            "address": row["address"],
            "locale": campaign.locale_for(row["locale"]),
            "timezone": row["timezone"],
            "arm": row["arm"],
            "variant": row["variant"],
            "template_hash": hashes[campaign.locale_for(row["locale"]), row["variant"]],
            "context": json.dumps(_context(row, campaign, run, bestsellers, settings), ensure_ascii=False),
        }
        for row in warehouse.query(_OUTBOX_SQL, campaign=campaign.id).to_pylist()
    ]
    reasons = Counter(decisions["reason"].to_pylist())
    log.info("%s for %s: %s", campaign.id, run.send_day, dict(reasons))
    return NewCampaignRun(
        campaign=campaign.id,
        send_day=run.send_day,
        occurrence=occurrence,
        decisions=ledger.write_frozen(f"{campaign.id}.decisions", run.send_day, decisions),
        outbox=ledger.write_frozen(f"{campaign.id}.outbox", run.send_day, pa.Table.from_pylist(outbox, OUTBOX)),
        counts=dict(sorted(reasons.items())),
    )


def _context(
    row: dict[str, Any], campaign: Campaign, run: Run, bestsellers: dict[str, list[Product]], settings: Settings
) -> dict[str, object]:
    """What the template may know, as JSON; delivery adds the unsubscribe link."""
    context = RenderContext(
        locale=campaign.locale_for(row["locale"]),
        send_day=run.send_day,
        currency=settings.currency,
        shop_name=settings.shop_name,
        shop_url=settings.shop_url,
        unsubscribe_url=settings.public_url,
        postal_address=settings.postal_address,
        first_name=first_name(row["name"] or "", row["locale"] or ""),
        tier=row["tier"],
        previous_tier=row["previous_tier"] or "",
        next_tier=row["next_tier"] or "",
        points_balance=row["points_balance"],
        points_to_next_tier=row["points_to_next_tier"] or 0,
        favourite_category=row["favourite_category"] or "",
        days_since_last_order=row["recency_days"],
        orders=row["orders"],
        products=tuple(bestsellers.get(row["favourite_category"] or "", ())),
    )
    content: dict[str, object] = context.model_dump(mode="json", exclude={"unsubscribe_url"})
    return content


def _bestsellers(warehouse: Warehouse, settings: Settings) -> dict[str, list[Product]]:
    """Category -> products to show; pages default to the shop's. What no mail could show is left out, and told."""
    found: dict[str, list[Product]] = {}
    for row in warehouse.query("select * from campaigns.bestsellers order by category, place").to_pylist():
        url, image_url = row["url"] or settings.shop_url, row["image_url"] or ""
        try:
            product = Product(name=row["name"], price=row["price"], url=url, image_url=image_url)
        except ValidationError as error:
            wrong = ", ".join(f"{problem['loc'][0]} {problem['msg']}" for problem in error.errors())
            log.warning("Product %s is not shown in mails: %s", row["sku"], wrong)
            continue
        found.setdefault(row["category"], []).append(product)
    return found


def _messages(
    campaign: Campaign, occurrence: str, outbox: pa.Table, run: Run, settings: Settings
) -> Iterator[NewMessage]:
    send_at = campaign.file.send_at or load_contact_policy(settings).send_at
    for batch in outbox.to_batches(max_chunksize=1_000):
        for row in batch.to_pylist():
            context = json.loads(row.pop("context"))
            zone = zone_of(row.pop("timezone"), settings)
            yield NewMessage(
                **row,
                occurrence=occurrence,
                purpose=campaign.file.purpose,
                topic=campaign.file.topic,
                context=context,
                not_before=datetime.combine(run.send_day, send_at.local_time, zone).astimezone(UTC),
            )
