"""What people tell us by the links in their mails comes in here, through the public web app, into the ledger."""

import logging
from collections.abc import Collection, Sequence
from typing import Literal, TypedDict, Unpack

from perennial.campaigns.topics import load_topics
from perennial.delivery.machines import is_program
from perennial.delivery.tokens import Purpose, signing_secrets, unseal, unseal_link
from perennial.flows.links import Links
from perennial.flows.writing import compiled, written
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import EventKind, Ledger, NewEvent, open_ledger

Method = Literal["one_click", "page"]
Survey = Literal["nps", "csat"]


class Visitor(TypedDict):
    """Who fetched something of a mail, or `only_asked` for it by HEAD."""

    user_agent: str
    only_asked: bool


log = logging.getLogger(__name__)

TEXT_VERSION = "2026-11"  # of the pages: part of the proof of what people say there; raise it with the words
SCORES: dict[Survey, range] = {"nps": range(11), "csat": range(1, 6)}
MAX_COMMENT = 2_000  # characters


def message_of(token: str, purpose: Purpose, ledger: Ledger, settings: Settings) -> str | None:
    """The message in the ledger that a token of that purpose is about. Changes nothing."""
    message_id = unseal(token, *signing_secrets(settings), purpose=purpose)
    return message_id if message_id is not None and ledger.message(message_id) is not None else None


def unsubscribe(token: str, method: Method, ledger: Ledger, settings: Settings) -> bool:
    """
    Take the receiver of a message out of its topic; durable when it returns, and again changes nothing.

    False for a token that is not of a message in the ledger.
    """
    message_id = unseal(token, *signing_secrets(settings))
    if message_id is None:
        return False
    known = ledger.unsubscribe(message_id, method=method, proof={"text_version": TEXT_VERSION})
    if known:
        log.info("Message %s: its receiver unsubscribed (%s).", message_id, method)
    return known


def topics(message_id: str, ledger: Ledger, settings: Settings) -> dict[str, bool]:
    """Which topics of `rules/topics.yaml` the receiver of a message hears about, as far as the ledger knows."""
    return ledger.topics_of(message_id, load_topics(settings)) or {}


def choose_topics(message_id: str, chosen: Collection[str], ledger: Ledger, settings: Settings) -> None:
    """The receiver of a message wants to hear about `chosen` and nothing else; durable when it returns."""
    ledger.choose_topics(
        message_id, {topic: topic in chosen for topic in load_topics(settings)}, text_version=TEXT_VERSION
    )
    log.info("Message %s: its receiver chose topics.", message_id)


def answer(message_id: str, survey: Survey, score: int, comment: str, ledger: Ledger) -> None:
    """Note an answer to a survey; the last one of a message counts. Durable when it returns."""
    ledger.answer(message_id, survey, score, comment.strip()[:MAX_COMMENT] or None)


def mail(message_id: str, ledger: Ledger, settings: Settings) -> str | None:
    """The HTML of a mail as it was sent, with nothing noted; None once its content is kept no more."""
    found = ledger.mail(message_id)
    if found is None:
        return None
    message, template = found
    try:
        return "".join(written(message, compiled(template), Links(settings))[0].html)
    except BadConfig as error:  # as when it was to be sent
        log.warning("Message %s cannot be shown: %s", message_id, error)
        return None


def opened(token: str, ledger: Ledger, settings: Settings, **visitor: Unpack[Visitor]) -> None:
    """Note that the picture of a mail was fetched. A token that is none is no error."""
    message_id = unseal(token, *signing_secrets(settings), purpose=Purpose.OPEN)
    if message_id is not None:
        ledger.record_visit(message_id, EventKind.OPENED, machine=_is_machine(visitor))


def link_of(token: str, settings: Settings) -> tuple[str, str] | None:
    """The message and the address that the token of a link is about."""
    return unseal_link(token, *signing_secrets(settings))


def clicked(message_id: str, url: str, ledger: Ledger, **visitor: Unpack[Visitor]) -> None:
    """Note that a link was followed."""
    ledger.record_visit(message_id, EventKind.CLICKED, machine=_is_machine(visitor), url=url)


def record_events(events: Sequence[NewEvent], settings: Settings) -> int:
    """Record what happened to messages; an event seen before counts once. Returns how many were new."""
    with open_ledger(settings) as ledger:
        return ledger.record_events(events)


def _is_machine(visitor: Visitor) -> bool:
    return visitor["only_asked"] or is_program(visitor["user_agent"])
