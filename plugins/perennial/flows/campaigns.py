"""Who hears from us on the send day, and why or why not: decided once, frozen, then queued."""

import logging
from datetime import date
from typing import Any

from perennial.campaigns.contact_policy import load_contact_policy
from perennial.campaigns.definition import Campaign, load_campaign, load_campaigns
from perennial.flows.campaign_tables import due_by_calendar, send_day_tables
from perennial.flows.day_order import is_outdated, newest_day
from perennial.flows.mirror import DECISIONS, compact_decisions, mirror_ledger
from perennial.flows.outbox import OUTBOX, Writer, messages, templates_of
from perennial.flows.tables import build_schema, open_tables, rule_tables
from perennial.foundation.days import Run, run_of, yesterday
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import Approval, Cap, Ledger, NewCampaignRun, NewTemplate, open_ledger
from perennial.templates.compile import compile_template
from perennial.templates.lint import require_sound
from perennial.templates.render import render
from perennial.warehouse import Materializer, Warehouse

log = logging.getLogger(__name__)

_SAMPLES = 2
_EXCERPT = 400  # characters


def due(run: Run, settings: Settings) -> list[str]:
    """The campaigns that may have candidates on the run's send day; none for a run that may not queue."""
    if not run.origin.may_queue:
        return []
    with open_ledger(settings) as ledger:
        return [campaign.id for campaign in _due(run, ledger, settings)]


def _due(run: Run, ledger: Ledger, settings: Settings) -> list[Campaign]:
    due_days = due_by_calendar(run.send_day, ledger.planned_until(run.send_day), settings)
    by_calendar = {campaign.id for campaign, _ in due_days}
    return [one for one in load_campaigns(settings) if not one.file.trigger.is_by_calendar or one.id in by_calendar]


def plan(run: Run, settings: Settings) -> dict[str, dict[str, int]]:
    """
    Decide about every candidate of every campaign on the send day, all together, and freeze the decisions.

    A campaign that is frozen for the send day stays as it is. A run that may not queue decides nothing: a decision is
    something we did. Returns decisions by campaign and reason.
    """
    with open_tables(run, settings) as (warehouse, materializer):
        if is_outdated(run, warehouse):
            return {}
        with open_ledger(settings) as ledger:
            todo = _decide(run, warehouse, materializer, ledger, settings)
            if not run.origin.may_queue:
                log.info("%s is a %s run: no campaign is planned.", run.day, run.origin)
                return {}
            require_sound(todo)  # a mail that cannot be written would be frozen, and lost
            templates = {campaign.id: templates_of(campaign) for campaign in todo}
            writer = Writer.open(run, warehouse, settings)
            runs = [_freeze(campaign, templates[campaign.id], writer, warehouse, ledger) for campaign in todo]
            ledger.freeze(runs, [template for found in templates.values() for template in found], run.origin)
            compact_decisions(warehouse, ledger, run.send_day)
            return {found.campaign: found.counts for found in ledger.campaign_runs(send_day=run.send_day)}


def preview(run: Run, settings: Settings) -> dict[str, dict[str, Any]]:
    """
    What `plan` would decide, by the same tables, with nothing decided.

    By campaign: decisions by reason, what changed since it was planned last, whether it is frozen already, and the
    first mails. Raises BadConfig where the warehouse's tables are of another day.
    """
    with open_tables(run, settings) as (warehouse, materializer):
        newest = newest_day(warehouse)
        if newest != run.day:
            raise BadConfig(f"The tables are as of {newest or 'no day'}, not of {run.day}: run that day first.")
        with open_ledger(settings) as ledger:
            todo = _decide(run, warehouse, materializer, ledger, settings)
            require_sound(todo)
            writer = Writer.open(run, warehouse, settings)
            frozen = {found.campaign: found.counts for found in ledger.campaign_runs(send_day=run.send_day)}
            before = {found.campaign: found for found in ledger.campaign_runs() if found.send_day < run.send_day}
        found: dict[str, dict[str, Any]] = {
            campaign: {"frozen": True, "reasons": counts} for campaign, counts in frozen.items()
        }
        for campaign in todo:
            found[campaign.id] = {
                "frozen": False,
                "reasons": _counts(campaign, warehouse),
                "samples": _samples(campaign, writer, warehouse),
            }
        for campaign_id, figures in found.items():
            if (last := before.get(campaign_id)) is not None:
                reasons = sorted({*figures["reasons"], *last.counts})
                change = {name: figures["reasons"].get(name, 0) - last.counts.get(name, 0) for name in reasons}
                figures["change"] = {name: difference for name, difference in change.items() if difference}
                figures["since"] = last.send_day
        return dict(sorted(found.items()))


def _decide(
    run: Run, warehouse: Warehouse, materializer: Materializer, ledger: Ledger, settings: Settings
) -> list[Campaign]:
    """Make the tables that say what is decided; returns the campaigns that are not frozen yet."""
    mirror_ledger(warehouse, settings)
    known = send_day_tables(
        run, settings, planned_until=ledger.planned_until(run.send_day), codes=ledger.free_coupons()
    )
    for table, rows in (rule_tables(run, settings) | known).items():  # files may have changed since the refresh
        materializer.load_rules(table, rows)
    build_schema("campaigns", materializer)
    frozen = {found.campaign for found in ledger.campaign_runs(send_day=run.send_day)}
    return [campaign for campaign in _due(run, ledger, settings) if campaign.id not in frozen]


def _freeze(
    campaign: Campaign, templates: list[NewTemplate], writer: Writer, warehouse: Warehouse, ledger: Ledger
) -> NewCampaignRun:
    """Write the decisions and the outbox of one campaign to files; the ledger's row makes them count."""
    send_day = writer.run.send_day
    counts = _counts(campaign, warehouse)
    columns = ", ".join(DECISIONS.names[2:-1])
    rows = f"select campaign, $send_day::date as send_day, {columns}, 1::bigint as people"
    with warehouse.stream(
        f"{rows} from campaigns.plan where campaign = $campaign order by customer_id",
        campaign=campaign.id,
        send_day=send_day,
    ) as reader:
        decisions = ledger.write_frozen(f"{campaign.id}.decisions", send_day, reader.cast(DECISIONS), DECISIONS)
    occurrence = _occurrence(campaign, warehouse)
    hashes = {(template.locale, template.variant): template.hash for template in templates}
    outbox = ledger.write_frozen(f"{campaign.id}.outbox", send_day, writer.batches(campaign, hashes, warehouse), OUTBOX)
    log.info("%s for %s: %s", campaign.id, send_day, counts)
    needs_approval = campaign.needs_approval(counts.get("send", 0))
    return NewCampaignRun(campaign.id, send_day, occurrence, decisions, outbox, counts, needs_approval)


def _occurrence(campaign: Campaign, warehouse: Warehouse) -> str:
    """That of all candidates of a campaign by calendar; empty where each has their own."""
    found = warehouse.value("select occurrence from rules.due_days where campaign = $campaign", campaign=campaign.id)
    return str(found or "")


def _counts(campaign: Campaign, warehouse: Warehouse) -> dict[str, int]:
    rows = warehouse.query(
        "select reason, count(*) as people from campaigns.plan where campaign = $campaign group by reason order by 1",
        campaign=campaign.id,
    )
    return {row["reason"]: row["people"] for row in rows.to_pylist()}


def _samples(campaign: Campaign, writer: Writer, warehouse: Warehouse) -> list[dict[str, str]]:
    found = []
    for row, context in writer.samples(campaign, _SAMPLES, warehouse):
        mail = render(compile_template(campaign, context.locale, row["variant"]), context)
        found.append(
            {
                "customer_id": row["customer_id"],
                "variant": row["variant"],
                "locale": context.locale,
                "subject": "".join(mail.subject),
                "text": "".join(mail.text)[:_EXCERPT],
            }
        )
    return found


def allow_stale_data(
    campaign: str, send_day: date | None, settings: Settings, *, by: str, why: str
) -> dict[str, object]:
    """
    Let a campaign be decided for one send day (None: the one after the clock's yesterday) on data that are not fit.

    Raises BadConfig for an unknown campaign, or one that was decided already and not held for its data.
    """
    load_campaign(campaign, settings)
    day = send_day or run_of(yesterday(settings), settings).send_day
    with open_ledger(settings) as ledger:
        given_up = ledger.allow_stale_data(campaign, day, by=by, why=why)
    return {"campaign": campaign, "send_day": day.isoformat(), "decided_anew": given_up}


def queue(campaign: str, run: Run, settings: Settings) -> dict[str, int]:
    """
    Put the frozen mails of one campaign into the outbox; needs the ledger alone. Queueing again adds nothing.

    What waits for an approval is queued when it has it: see `approval`.
    """
    definition = next(found for found in load_campaigns(settings) if found.id == campaign)
    with open_ledger(settings) as ledger:
        frozen = next(iter(ledger.campaign_runs(campaign=campaign, send_day=run.send_day)), None)
        if frozen is None:
            return {"queued": 0}
        rows = messages(ledger.frozen_batches(frozen.outbox), definition)
        policy = load_contact_policy(settings)
        caps = [Cap(policy.promotional.at_most, policy.promotional.every_days)]
        caps += [Cap(1, policy.min_gap_days)] if policy.min_gap_days else []
        caps += [Cap(cap.at_most, cap.every_days, cap.topic) for cap in policy.topics]
        pool = definition.file.offer.coupons if definition.file.offer else None
        queued = ledger.queue(run, campaign, settings.delivery, rows, caps=caps, coupon_pool=pool)
        if frozen.approval is Approval.WAITING:
            log.warning("%s for %s waits for an approval", campaign, run.send_day)
        return {"queued": queued, "outbox": ledger.frozen_rows(frozen.outbox)}
