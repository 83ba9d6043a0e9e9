"""Double opt-in: somebody types in an address, whoever reads its mail confirms."""

import hmac
import logging
from functools import lru_cache
from pathlib import Path

from perennial.campaigns.topics import load_topics
from perennial.delivery.mime import clean_address
from perennial.delivery.tokens import Purpose, signing_secret, signing_secrets, unseal
from perennial.flows.listening import TEXT_VERSION
from perennial.foundation.days import run_of, yesterday
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import Ledger, NewSubscription, NewTemplate
from perennial.ledger.subscriptions import CAMPAIGN
from perennial.templates.compile import CompiledTemplate, compile_folder
from perennial.templates.context import RenderContext

log = logging.getLogger(__name__)


def subscribe(address: str, topic: str, locale: str, client: str, ledger: Ledger, settings: Settings) -> None:
    """
    Ask the owner of an address by mail whether they want to hear about `topic`; the next delivery takes the mail.

    Whether the address is known makes no difference, and that it was written to often enough is not told. `client`
    is where the request came from. Raises Unsendable for what is no address, BadConfig for an unknown topic, TooMany
    for a client that asks too often.
    """
    address, known = clean_address(address), load_topics(settings)
    if topic not in known:
        raise BadConfig(f"There is no topic {topic!r} in rules/topics.yaml. There are: {', '.join(known)}.")
    run = run_of(yesterday(settings), settings)
    template = _template(locale, settings.files.shared_templates())
    context = RenderContext(
        locale=locale,
        send_day=run.send_day,
        currency=settings.currency,
        shop_name=settings.shop_name,
        shop_url=settings.shop_url,
        unsubscribe_url=settings.public_url,
        postal_address=settings.postal_address,
        topic_name=known[topic].in_locale(locale),
    )
    wanted = NewSubscription(
        address=address,
        topic=topic,
        client=hmac.new(signing_secret(settings), b"client:" + client.encode(), "sha256").hexdigest(),
        text_version=TEXT_VERSION,
        template=NewTemplate(CAMPAIGN, locale, "a", template.subject, template.html, template.text),
        context=context.model_dump(mode="json", exclude_defaults=True, exclude={"unsubscribe_url"}),
    )
    message = ledger.request_subscription(run, wanted)
    if message is not None:
        ledger.queue(run, CAMPAIGN, settings.delivery, [message])
        log.info("A subscription to %s was asked for.", topic)


def subscription(token: str, ledger: Ledger, settings: Settings) -> str | None:
    """The message id of a request that may still be confirmed. Changes nothing."""
    message_id = unseal(token, *signing_secrets(settings), purpose=Purpose.CONFIRM)
    asked = ledger.subscription(message_id) if message_id is not None else None
    return message_id if asked and (asked["is_open"] or asked["confirmed_at"]) else None


def confirm(message_id: str, ledger: Ledger) -> bool:
    """The owner of the address says yes: consent with its proof, durable when it returns. False when it is too late."""
    confirmed = ledger.confirm_subscription(message_id, text_version=TEXT_VERSION)
    if confirmed:
        log.info("Message %s: its receiver confirmed the subscription.", message_id)
    return confirmed


@lru_cache(maxsize=16)
def _template(locale: str, shared: tuple[Path, ...]) -> CompiledTemplate:
    folders = [folder / CAMPAIGN / locale for folder in shared]
    found = next((folder for folder in folders if folder.is_dir()), folders[-1])
    return compile_folder(f"{CAMPAIGN}/{locale}", found, shared)
