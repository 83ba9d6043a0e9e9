"""The coming days: what is due by calendar, and for whom dates come round, as far as today's data tell."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from perennial.campaigns.definition import Campaign, load_campaigns
from perennial.campaigns.festivals import load_festivals
from perennial.campaigns.triggers import due_days
from perennial.flows.campaign_tables import audience_sql, campaign_tables
from perennial.flows.day_order import newest_day
from perennial.flows.mirror import mirror_ledger
from perennial.flows.tables import open_tables
from perennial.foundation.days import Origin, Run, current_time
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.warehouse import Materializer, Warehouse, written_model
from perennial.warehouse.compose import compose

Row = dict[str, Any]


def calendar(days: int, settings: Settings) -> list[Row]:
    """
    A row for each campaign on each of the next `days` send days, today's included, on which it is due or dates come.

    `people` are those whom it considers by the newest tables, before consent, caps and holdouts. What people will do,
    enter or buy is not known: campaigns that wait for that have no row. Raises BadConfig before the first day was run.
    """
    today = current_time(settings).astimezone(settings.zone).date()
    with open_tables(Run(today - timedelta(days=1), Origin.REPLAY), settings) as (warehouse, materializer):
        day = newest_day(warehouse)
        if day is None or not warehouse.has("campaigns.audience"):
            raise BadConfig("No day has been run yet: there are no people to count.")
        mirror_ledger(warehouse, settings)
        for table, rows in campaign_tables(settings).items():  # files may have changed since
            materializer.load_rules(table, rows)
        found = [
            row
            for campaign in load_campaigns(settings)
            for row in (
                _by_calendar(campaign, today, days, _audience(campaign, day, warehouse), warehouse, settings)
                if campaign.file.trigger.is_by_calendar
                else _by_date(campaign, today, days, _audience(campaign, day, warehouse), warehouse, materializer)
            )
        ]
    return sorted(found, key=lambda row: (row["send_day"], row["campaign"]))


def _audience(campaign: Campaign, day: date, warehouse: Warehouse) -> str:
    """SQL for whom the campaign is, by the tables of `day`."""
    path = campaign.folder / "campaign.yaml"
    model = written_model("campaigns.expected", audience_sql(campaign), path, campaign.id, ("customer_id",))
    return compose(model, day, warehouse.dialect, picked={}, missing=False)


def _by_calendar(
    campaign: Campaign, today: date, days: int, audience: str, warehouse: Warehouse, settings: Settings
) -> Iterator[Row]:
    last = today + timedelta(days=days - 1)
    coming = list(due_days(campaign.file.trigger, today, last, load_festivals(settings)))
    people = warehouse.count(f"select count(*) from ({audience}) as people") if coming else 0
    for due in coming:
        yield {"send_day": due.day, "campaign": campaign.id, "occurrence": due.occurrence, "people": people}


def _by_date(
    campaign: Campaign, today: date, days: int, audience: str, warehouse: Warehouse, materializer: Materializer
) -> Iterator[Row]:
    """Each occasion on the first day on which it is one, unless it was decided before."""
    trigger = campaign.file.trigger
    if trigger.on_date is None and trigger.points_expiring is None:
        return
    model = materializer.models["campaigns.date_occasions" if trigger.on_date else "campaigns.points_occasions"]
    expected = " union all ".join(
        f"select customer_id, occurrence, date '{send_day}' as send_day from ({rows}) as occasions"
        f" where campaign = '{campaign.id}'"
        for send_day in (today + timedelta(days=number) for number in range(days))
        for rows in [compose(model, send_day - timedelta(days=1), warehouse.dialect, picked={}, missing=False)]
    )
    counted = warehouse.query(
        f"""
        with first_days as (
            select customer_id, occurrence, min(send_day) as send_day
            from ({expected}) as expected
            where not exists (
                select 1
                from campaigns.decisions as decided
                where decided.campaign = $campaign
                    and decided.occurrence = expected.occurrence
                    and decided.customer_id = expected.customer_id
            )
            group by customer_id, occurrence
        )
        select first_days.send_day, count(*) as people
        from first_days
        join ({audience}) as people on first_days.customer_id = people.customer_id
        group by first_days.send_day
        """,
        campaign=campaign.id,
    )
    occasion = trigger.on_date.field if trigger.on_date else "points"
    for row in counted.to_pylist():
        yield {"send_day": row["send_day"], "campaign": campaign.id, "occurrence": occasion, "people": row["people"]}
