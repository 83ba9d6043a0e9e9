"""What is needed to deliver what was decided, and nothing else: address, time, template and render context."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from perennial.campaigns.contact_policy import ContactPolicy, load_contact_policy
from perennial.campaigns.definition import Campaign, load_campaigns
from perennial.campaigns.laws import LawBook, load_laws
from perennial.campaigns.names import first_name
from perennial.campaigns.seeds import SeedList, load_seeds
from perennial.campaigns.send_time import not_before
from perennial.foundation.days import Run, zone_of
from perennial.foundation.settings import Settings
from perennial.ledger import SEED, NewMessage, NewTemplate
from perennial.templates.compile import compile_template
from perennial.templates.context import Product, RenderContext, sample_contexts
from perennial.warehouse import Warehouse

log = logging.getLogger(__name__)

_SQL = """
select
    plan.customer_id, plan.occurrence, plan.arm, plan.variant, customers.email as address, customers.name,
    customers.country, audience.locale, audience.timezone, hours.best_hour,
    audience.tier, audience.previous_tier, audience.next_tier, audience.points_balance, audience.points_to_next_tier,
    audience.points_expire_date, audience.favourite_category, audience.recency_days, audience.orders,
    about.skus
from campaigns.plan as plan
join campaigns.audience as audience on audience.customer_id = plan.customer_id
join core.customers as customers on customers.customer_id = plan.customer_id
left join campaigns.best_hours as hours on hours.customer_id = plan.customer_id
left join (
    select customer_id, string_agg(sku, chr(31) order by place) as skus
    from campaigns.occasion_products
    where campaign = $campaign
    group by customer_id
) as about on about.customer_id = plan.customer_id
where plan.campaign = $campaign and plan.reason = 'send'
order by plan.customer_id
"""
_BETWEEN_SKUS = "\x1f"  # a control character: an article with one in its number is not shown
_TEXTS = ("customer_id", "occurrence", "address", "locale", "timezone", "arm", "variant", "template_hash", "context")
OUTBOX = pa.schema({**dict.fromkeys(_TEXTS, pa.string()), "not_before": pa.timestamp("us", tz="UTC")})
BATCH = 5_000  # rows held at once

Row = dict[str, Any]


@dataclass(frozen=True)
class Writer:
    """Makes the outbox of a run's campaigns."""

    run: Run
    settings: Settings
    policy: ContactPolicy
    laws: LawBook
    seeds: SeedList
    bestsellers: Mapping[str, tuple[Product, ...]]
    occasion_products: Mapping[str, Product]

    @classmethod
    def open(cls, run: Run, warehouse: Warehouse, settings: Settings) -> "Writer":
        seeds = load_seeds([campaign.id for campaign in load_campaigns(settings)], settings)
        policy, laws = load_contact_policy(settings), load_laws(settings)
        goods = best_sold(warehouse, settings), occasion_products(warehouse, settings)
        return cls(run, settings, policy, laws, seeds, *goods)

    def batches(
        self, campaign: Campaign, hashes: Mapping[tuple[str, str], str], warehouse: Warehouse
    ) -> Iterator[pa.RecordBatch]:
        """
        The rows of everybody who is to get the campaign, then of the seed list.

        `hashes` are the campaign's templates by locale and variant.
        """
        is_empty = True
        with warehouse.stream(_SQL, campaign=campaign.id) as reader:
            for whole in reader:
                for start in range(0, whole.num_rows, BATCH):
                    rows = [self._row(row, campaign, hashes) for row in whole.slice(start, BATCH).to_pylist()]
                    yield pa.RecordBatch.from_pylist(rows, OUTBOX)
                    is_empty = False
        seeds = [] if is_empty else list(self._seeds(campaign, hashes))
        if seeds:
            yield pa.RecordBatch.from_pylist(seeds, OUTBOX)

    def samples(self, campaign: Campaign, count: int, warehouse: Warehouse) -> list[tuple[Row, RenderContext]]:
        """The first people who are to get the campaign, and what its templates know of them."""
        rows = warehouse.query(f"{_SQL} limit {count}", campaign=campaign.id).to_pylist()
        return [(row, self._context(row, campaign)) for row in rows]

    def _row(self, row: Row, campaign: Campaign, hashes: Mapping[tuple[str, str], str]) -> Row:
        context = self._context(row, campaign)
        return {
            **{name: row[name] for name in ("customer_id", "occurrence", "address", "timezone", "arm", "variant")},
            "locale": context.locale,
            "template_hash": hashes[context.locale, row["variant"]],
            "context": _as_json(context),
            "not_before": self._not_before(campaign, row["timezone"], row["best_hour"]),
        }

    def _seeds(self, campaign: Campaign, hashes: Mapping[tuple[str, str], str]) -> Iterator[Row]:
        """A copy of each wording for each of our own addresses, made out for an invented person."""
        for number, address in enumerate(self.seeds.addresses(campaign.id), start=1):
            for (locale, variant), template_hash in hashes.items():
                known = sample_contexts(locale)[0].model_dump()
                context = RenderContext.model_validate(known | self._of_shop(locale) | {"preview": False})
                yield {
                    "customer_id": f"{SEED}:{number}",
                    "occurrence": f"{SEED} {self.run.send_day} {locale} {variant}",
                    "address": address,
                    "locale": locale,
                    "timezone": None,
                    "arm": SEED,
                    "variant": variant,
                    "template_hash": template_hash,
                    "context": _as_json(context),
                    "not_before": self._not_before(campaign, None, None),
                }

    def _not_before(self, campaign: Campaign, timezone: str | None, best_hour: int | None) -> datetime:
        send_at = campaign.file.send_at or self.policy.send_at
        if send_at == "best_hour":
            local_time = self.policy.send_at.local_time if best_hour is None else time(best_hour)
        else:
            local_time = send_at.local_time
        zone = zone_of(timezone, self.settings)
        return not_before(self.run.send_day, local_time, zone, self.policy.quiet_hours)

    def _about(self, skus: str | None) -> tuple[Product, ...]:
        named = skus.split(_BETWEEN_SKUS) if skus else ()
        return tuple(self.occasion_products[sku] for sku in named if sku in self.occasion_products)

    def _of_shop(self, locale: str) -> Row:
        return {
            "locale": locale,
            "send_day": self.run.send_day,
            "currency": self.settings.currency,
            "shop_name": self.settings.shop_name,
            "shop_url": self.settings.shop_url,
            "unsubscribe_url": self.settings.public_url,  # delivery puts the person's own in its place
            "postal_address": self.settings.postal_address,
        }

    def _context(self, row: Row, campaign: Campaign) -> RenderContext:
        """What the template may know of a person."""
        locale = campaign.locale_for(row["locale"])
        label = ""
        if campaign.file.purpose == "promotional":
            label = self.laws.subject_label(row["country"], row["locale"], locale)
        return RenderContext(
            **self._of_shop(locale),
            subject_label=label,
            first_name=first_name(row["name"] or "", row["locale"] or ""),
            tier=row["tier"],
            previous_tier=row["previous_tier"] or "",
            next_tier=row["next_tier"] or "",
            points_balance=row["points_balance"],
            points_to_next_tier=row["points_to_next_tier"] or 0,
            favourite_category=row["favourite_category"] or "",
            days_since_last_order=row["recency_days"],
            orders=row["orders"],
            points_expire_date=row["points_expire_date"],
            products=self.bestsellers.get(row["favourite_category"] or "", ()),
            occasion_products=self._about(row["skus"]),
        )


def messages(batches: Iterator[pa.RecordBatch], campaign: Campaign) -> Iterator[NewMessage]:
    """What was frozen, as messages to queue."""
    for batch in batches:
        for row in batch.to_pylist():
            del row["timezone"]
            context = json.loads(row.pop("context"))
            yield NewMessage(**row, purpose=campaign.file.purpose, topic=campaign.file.topic, context=context)


def templates_of(campaign: Campaign) -> list[NewTemplate]:
    """The campaign's templates, compiled, of each locale and variant."""
    return [
        NewTemplate(campaign.id, locale, variant.name, compiled.subject, compiled.html, compiled.text)
        for locale in campaign.locales
        for variant in campaign.file.experiment.variants
        for compiled in [compile_template(campaign, locale, variant.name)]
    ]


def best_sold(warehouse: Warehouse, settings: Settings) -> dict[str, tuple[Product, ...]]:
    """Category -> products to show."""
    found: dict[str, tuple[Product, ...]] = {}
    for row in warehouse.query("select * from campaigns.bestsellers order by category, place").to_pylist():
        if product := _product(row, settings):
            found[row["category"]] = (*found.get(row["category"], ()), product)
    return found


def occasion_products(warehouse: Warehouse, settings: Settings) -> dict[str, Product]:
    """SKU -> product, of all that somebody's occasion is about."""
    rows = warehouse.query(
        "select sku, name, price, url, image_url from core.products"
        " where sku in (select sku from campaigns.occasion_products) order by sku"
    ).to_pylist()
    return {row["sku"]: product for row in rows if (product := _product(row, settings))}


def _product(row: Row, settings: Settings) -> Product | None:
    """As mails show it, its page by default the shop's. What no mail could show is left out, and told."""
    url, image_url = row["url"] or settings.shop_url, row["image_url"] or ""
    try:
        return Product(name=row["name"], price=row["price"], url=url, image_url=image_url)
    except ValidationError as error:
        wrong = ", ".join(f"{problem['loc'][0]} {problem['msg']}" for problem in error.errors())
        log.warning("Product %s is not shown in mails: %s", row["sku"], wrong)
        return None


def _as_json(context: RenderContext) -> str:
    return context.model_dump_json(exclude={"unsubscribe_url"})
