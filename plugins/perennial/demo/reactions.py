"""How the simulated customers answer mail that was accepted: open, click, buy, unsubscribe, complain."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.demo.catalogue import A_CATEGORY, CATEGORIES, catalogue, prices
from perennial.demo.files import EXPORTS, write_whole
from perennial.demo.process import SHOP_ZONE, Month, Shop, day_number
from perennial.demo.shop import read_shop, truth_dir
from perennial.foundation.settings import Settings

ANSWER_DAYS = 30  # nobody answers a mail later than that
_TRUTH = ["customer_id", "dropout_date", "favourite", "opens", "clicks", "email"]


@dataclass(frozen=True)
class Mail:
    """A message that a server has accepted for a customer."""

    message_id: str
    customer_id: str
    campaign: str
    variant: str
    accepted_at: datetime
    unsubscribe_url: str | None = None


@dataclass(frozen=True)
class MessageEvent:
    """What a provider would report: `opened`, `clicked` or `complained`."""

    event_id: str
    message_id: str
    kind: str
    occurred_at: datetime
    machine: bool = False  # opened by a privacy proxy, not by a person


@dataclass(frozen=True)
class Unsubscribe:
    """Somebody used the link in the mail."""

    message_id: str
    customer_id: str
    url: str | None
    occurred_at: datetime


@dataclass(frozen=True)
class OrderLine:
    """A line of `web_orders`, by the names of its header; what is not named is empty."""

    ordered_at: datetime
    fields: dict[str, str]


@dataclass(frozen=True)
class Interaction:
    """An `email_open` or `email_click` as the web shop's tracker sees it."""

    event_id: str
    customer_id: str
    kind: str
    occurred_at: datetime


@dataclass(frozen=True)
class Reactions:
    """Everything that happens on one day in answer to mail, in order of time."""

    day: date
    events: tuple[MessageEvent, ...]
    unsubscribes: tuple[Unsubscribe, ...]
    order_lines: tuple[OrderLine, ...]
    interactions: tuple[Interaction, ...]


@dataclass(frozen=True)
class Effect:
    """What a campaign or a variant does to the chances of each step."""

    opening: float = 1.0
    clicking: float = 1.0
    buying: float = 1.0


# The truth that experiments are to find.
VARIANT_EFFECTS = {"b": Effect(opening=1.15, clicking=1.6, buying=1.4)}
CAMPAIGN_EFFECTS = {"tier_upgrade": Effect(opening=1.25, clicking=1.1, buying=1.0)}

PROXY_SHARE = 0.22  # people whose mail is fetched by a machine first
BUYS_AFTER_CLICK = {"active": 0.24, "lost": 0.14}  # a purchase of somebody lost revives them
UNSUBSCRIBES_AFTER_OPEN = {"active": 0.008, "lost": 0.025}
COMPLAINS_AFTER_OPEN = {"active": 0.001, "lost": 0.004}
LOST_OPENING, LOST_CLICKING = 0.45, 0.7  # how much less those who are lost care


def react(settings: Settings, mails: Sequence[Mail], day: date) -> Reactions:
    """
    What the simulated customers do on `day`, in the shop's time zone, in answer to `mails`.

    Pure: it depends on the shop's seed, its truth and each mail only, so it may be asked again. A mail is answered over
    up to ANSWER_DAYS days: hand over all that were accepted since. Mail to unknown customers is not answered.
    """
    shop = read_shop(settings)
    people = _people(settings, {mail.customer_id for mail in mails})
    events: list[MessageEvent] = []
    unsubscribes: list[Unsubscribe] = []
    lines: list[OrderLine] = []
    interactions: list[Interaction] = []
    for mail in mails:
        if mail.customer_id not in people:
            continue
        for step, when in _answer(shop, mail, people[mail.customer_id]):
            if when.astimezone(SHOP_ZONE).date() != day:
                continue
            identity = f"{mail.message_id}:{step}"
            match step:
                case "unsubscribed":
                    unsubscribes.append(Unsubscribe(mail.message_id, mail.customer_id, mail.unsubscribe_url, when))
                case "fetched":
                    events.append(MessageEvent(identity, mail.message_id, "opened", when, machine=True))
                case "opened" | "clicked" | "complained":
                    events.append(MessageEvent(identity, mail.message_id, step, when))
                    if step != "complained":
                        kind = "email_open" if step == "opened" else "email_click"
                        interactions.append(Interaction(identity, mail.customer_id, kind, when))
                case _:
                    lines.extend(_purchase(shop, mail, people[mail.customer_id], step, when))
    return Reactions(
        day,
        tuple(sorted(events, key=lambda event: (event.occurred_at, event.event_id))),
        tuple(sorted(unsubscribes, key=lambda one: (one.occurred_at, one.message_id))),
        tuple(sorted(lines, key=lambda line: (line.ordered_at, line.fields["order_no"], line.fields["line"]))),
        tuple(sorted(interactions, key=lambda event: (event.occurred_at, event.event_id))),
    )


def write_reactions(settings: Settings, reactions: Reactions) -> dict[str, int]:
    """
    Write the orders and interactions as files of their own beside the day's exports. Writing again changes nothing.

    Returns how many order lines and interactions there are.
    """
    name = f"{reactions.day}-react"
    if reactions.order_lines:
        header = EXPORTS["web_orders"].header.split(",")
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(line.fields for line in reactions.order_lines)
        write_whole(settings.inbox_dir / "web_orders" / f"{name}.csv", text.getvalue().encode())
    if reactions.interactions:
        rows = (
            {"id": one.event_id, "ts": _utc(one.occurred_at), "type": one.kind, "user": one.customer_id}
            for one in reactions.interactions
        )
        content = "".join(f"{json.dumps(row)}\n" for row in rows)
        write_whole(settings.inbox_dir / "web_interactions" / f"{name}.jsonl", content.encode())
    return {"order_lines": len(reactions.order_lines), "interactions": len(reactions.interactions)}


def _people(settings: Settings, wanted: set[str]) -> dict[str, dict[str, Any]]:
    is_wanted = pc.field("customer_id").isin(pa.array(sorted(wanted), pa.string()))  # typed: there may be none
    table = pq.read_table(truth_dir(settings) / "customers.parquet", columns=_TRUTH, filters=is_wanted)
    return {row["customer_id"]: row for row in table.to_pylist()}


class _Chance:
    """Uniform numbers in [0, 1) that depend on a seed and a text only."""

    def __init__(self, seed: int, text: str) -> None:
        self._seed, self._text, self._drawn = seed, text, 0

    def draw(self) -> float:
        self._drawn += 1
        digest = hashlib.sha256(f"{self._seed}|{self._text}|{self._drawn}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def after(self, mean: timedelta) -> timedelta:
        """An exponential waiting time, in whole seconds."""
        return timedelta(seconds=1 + int(mean.total_seconds() * -math.log(1 - self.draw())))


def _answer(shop: Shop, mail: Mail, person: dict[str, Any]) -> Iterator[tuple[str, datetime]]:
    """All steps one person takes over one mail, with their times; purchases are `order 1`, `order 2` and so on."""
    chance = _Chance(shop.seed, mail.message_id)
    accepted = mail.accepted_at.astimezone(UTC).replace(microsecond=0)
    is_lost = person["dropout_date"] is not None and accepted.astimezone(SHOP_ZONE).date() >= person["dropout_date"]
    state = "lost" if is_lost else "active"
    effects = (VARIANT_EFFECTS.get(mail.variant, Effect()), CAMPAIGN_EFFECTS.get(mail.campaign, Effect()))
    latest = accepted + timedelta(days=ANSWER_DAYS)

    if _Chance(shop.seed, f"proxy of {mail.customer_id}").draw() < PROXY_SHARE:
        yield "fetched", accepted + timedelta(seconds=2 + int(40 * chance.draw()))
    opening = person["opens"] * (LOST_OPENING if is_lost else 1.2) * math.prod(one.opening for one in effects)
    opened = accepted + chance.after(timedelta(hours=7))
    if chance.draw() >= min(0.95, opening) or opened > latest:
        return
    yield "opened", opened
    if chance.draw() < COMPLAINS_AFTER_OPEN[state]:
        yield "complained", opened + chance.after(timedelta(minutes=1))
        return
    if chance.draw() < UNSUBSCRIBES_AFTER_OPEN[state]:
        yield "unsubscribed", opened + chance.after(timedelta(minutes=1))
        return
    clicking = person["clicks"] * (LOST_CLICKING if is_lost else 1.2) * math.prod(one.clicking for one in effects)
    if chance.draw() >= min(0.95, clicking):
        return
    clicked = opened + chance.after(timedelta(minutes=2))
    yield "clicked", clicked
    buying = BUYS_AFTER_CLICK[state] * math.prod(one.buying for one in effects)
    if chance.draw() >= min(0.95, buying):
        return
    bought = clicked + chance.after(timedelta(days=1.2))
    orders = 1 + int(2.5 * chance.draw() ** 2) if is_lost else 1  # somebody revived may come back again
    for number in range(1, orders + 1):
        if bought > latest:
            return
        yield f"order {number}", bought
        bought += timedelta(days=4) + chance.after(timedelta(days=6))


def _purchase(shop: Shop, mail: Mail, person: dict[str, Any], step: str, when: datetime) -> Iterator[OrderLine]:
    chance = _Chance(shop.seed, f"{mail.message_id}:{step}")
    local = when.astimezone(SHOP_ZONE)
    now = prices(shop, Month.of(day_number(local.date())))
    serial = hashlib.sha256(f"{mail.message_id}:{step}".encode()).hexdigest()[:12]
    goods = catalogue(shop)
    for line in range(1, 2 + int(chance.draw() * 2.4)):
        favourite = CATEGORIES.index(person["favourite"])
        category = favourite if chance.draw() < 0.7 else int(chance.draw() * len(CATEGORIES))
        product = category * A_CATEGORY + int(A_CATEGORY * chance.draw() ** 1.7)
        cents = int(now[product])
        tax = round(cents * int(goods.tax_percent[product]) / 100)
        fields = {
            "order_no": f"E{local:%y%m}-{serial}",
            "line": str(line),
            "created": f"{local:%Y-%m-%d %H:%M:%S}",
            "customer_ref": mail.customer_id,
            "email": person["email"] or "",
            "sku": goods.skus[product],
            "product": goods.names[product],
            "category": CATEGORIES[category],
            "qty": "1",
            "price": f"{cents / 100:.2f}",
            "discount": "0.00",
            "tax": f"{tax / 100:.2f}",
            "shipping": "0.00",
            "currency": "EUR",
            "status": "completed",
            "device": "mobile",
            "campaign": mail.campaign,
        }
        yield OrderLine(when, fields)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
