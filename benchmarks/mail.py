"""The mail of the delivery bench: an outbox full of it, what delivers it, and the plain loop it is compared with."""

import random
import smtplib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from jinja2 import Environment

from perennial.campaigns.definition import load_campaigns
from perennial.delivery.mime import compose
from perennial.delivery.provider import Mail
from perennial.foundation.days import Origin, Run, current_time
from perennial.foundation.settings import Settings, load_settings
from perennial.ledger import NewCampaignRun, NewMessage, NewTemplate, open_ledger
from perennial.templates.compile import CompiledTemplate, compile_template
from perennial.templates.context import RenderContext
from perennial.templates.filters import FILTERS, OURS
from perennial.templates.render import render

CAMPAIGN = "win_back"
SENDER = "Perennial Demo Shop <hello@shop.example>"
_DAY = date(2026, 1, 31)
_GOODS = 200  # that win_back shows three of


def fill(settings: Settings, messages: int) -> None:
    """Queue so many messages of win_back, as planning would: each to a person of their own, each with three goods."""
    template = _template(settings)
    with open_ledger(settings) as ledger:
        run = Run(_DAY, Origin.LIVE)
        decisions = ledger.write_frozen(CAMPAIGN, run.send_day, b"decisions")
        frozen = NewCampaignRun(CAMPAIGN, run.send_day, str(run.send_day), decisions, decisions, {"send": messages})
        new = NewTemplate(CAMPAIGN, "en", "a", template.subject, template.html, template.text)
        ledger.freeze([frozen], [new], run.origin)
        now = current_time(settings)
        rows = (
            NewMessage(
                occurrence=str(run.send_day),
                customer_id=f"c{number}",
                address=f"person{number}@mail.example",
                locale="en",
                purpose="promotional",
                topic="offers",
                template_hash=new.hash,
                context=context,
                not_before=now,
            )
            for number, context in enumerate(contexts(messages))
        )
        assert ledger.queue(run, CAMPAIGN, "smtp", rows) == messages


def contexts(count: int) -> Iterator[dict[str, Any]]:
    """What the mails of so many people say, as the outbox keeps it."""
    chance = random.Random(20260131)  # noqa: S311
    goods = [
        {
            "name": f"Terracotta pot, {number} cm",
            "price": str(Decimal(chance.randrange(500, 9000)) / 100),
            "url": f"https://shop.example/p/{number}",
            "image_url": f"https://shop.example/p/{number}.png",
        }
        for number in range(_GOODS)
    ]
    for number in range(count):
        yield {
            "locale": "en",
            "send_day": "2026-02-01",
            "currency": "EUR",
            "shop_name": "Perennial Demo Shop",
            "shop_url": "https://shop.example/",
            "postal_address": "Perennial Demo Shop, 1 Garden Lane, 10115 Berlin",
            "first_name": f"Ada{number}",
            "favourite_category": chance.choice(["garden", "pots", "seeds"]),
            "days_since_last_order": chance.randrange(60, 400),
            "orders": chance.randrange(1, 20),
            "points_balance": chance.randrange(2000),
            "products": chance.sample(goods, 3),
        }


def sample() -> bytes:
    """One of these mails as it goes over the wire."""
    context = RenderContext.model_validate(
        next(contexts(1)) | {"unsubscribe_url": "https://shop.example/unsubscribe/x"}
    )
    rendered = render(_template(load_settings()), context)
    message_id = str(uuid5(NAMESPACE_URL, "sample"))
    date = datetime(2026, 2, 1, 9, tzinfo=UTC)
    parts = rendered.subject, rendered.html, rendered.text
    return compose(Mail(message_id, CAMPAIGN, SENDER, "person@mail.example", date, *parts, context.unsubscribe_url))


def send_plainly(port: int, messages: int) -> None:
    """Jinja2, EmailMessage and smtplib in a loop; nothing is remembered."""
    template = _template(load_settings())
    html = Environment(autoescape=True)
    text = Environment(autoescape=False)  # noqa: S701 - plain text
    for environment in (html, text):
        environment.filters |= {**FILTERS, **OURS}
    parts = text.from_string(template.subject), text.from_string(template.text), html.from_string(template.html)
    with smtplib.SMTP("127.0.0.1", port) as server:
        for number, context in enumerate(contexts(messages)):
            message_id = uuid5(NAMESPACE_URL, str(number))
            link = f"https://shop.example/unsubscribe/{message_id}"
            values = RenderContext.model_validate(context | {"unsubscribe_url": link}).model_dump()
            subject, plain, rich = (part.render(values) for part in parts)
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = SENDER, f"person{number}@mail.example", subject
            mail["Date"] = formatdate()
            mail["Message-ID"] = f"<{message_id}@shop.example>"
            mail["List-Unsubscribe"] = f"<{link}>"
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
            mail.set_content(plain)
            mail.add_alternative(rich, subtype="html")
            server.send_message(mail)


def _template(settings: Settings) -> CompiledTemplate:
    campaign = next(campaign for campaign in load_campaigns(settings) if campaign.id == CAMPAIGN)
    return compile_template(campaign, "en", "a")
