"""What people and providers tell us comes in here, through the public web app, into the ledger."""

import logging
from collections.abc import Sequence
from typing import Literal

from perennial.delivery.tokens import signing_secret, unseal
from perennial.foundation.settings import Settings
from perennial.ledger import NewEvent, open_ledger

Method = Literal["one_click", "page"]

log = logging.getLogger(__name__)

TEXT_VERSION = "2026-02"  # of the confirm page: part of the proof of a withdrawal; raise it with the words


def knows(token: str, settings: Settings) -> bool:
    """Whether this is the unsubscribe token of a message in the ledger. Changes nothing."""
    message_id = unseal(token, signing_secret(settings))
    if message_id is None:
        return False
    with open_ledger(settings) as ledger:
        return ledger.message(message_id) is not None


def unsubscribe(token: str, method: Method, settings: Settings) -> bool:
    """
    Take the receiver of a message out of its topic; durable when it returns, and again changes nothing.

    False for a token that is not of a message in the ledger.
    """
    message_id = unseal(token, signing_secret(settings))
    if message_id is None:
        return False
    with open_ledger(settings) as ledger:
        known = ledger.unsubscribe(message_id, method=method, proof={"text_version": TEXT_VERSION})
    if known:
        log.info("Message %s: its receiver unsubscribed (%s).", message_id, method)
    return known


def record_events(events: Sequence[NewEvent], settings: Settings) -> int:
    """Record what happened to messages; an event seen before counts once. Returns how many were new."""
    with open_ledger(settings) as ledger:
        return ledger.record_events(events)
