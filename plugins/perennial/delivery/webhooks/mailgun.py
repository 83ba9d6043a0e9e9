"""
Mailgun's webhooks: one event a request, whose signature covers a timestamp and a token, not the event.

https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
"""

import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial.delivery.machines import is_program
from perennial.delivery.webhooks.report import (
    Event,
    Forged,
    Kind,
    NotOurs,
    Report,
    Reported,
    details,
    event_id,
    message_id_in,
    moment,
    report,
    require_recent,
)

_TOKEN = re.compile(r"[0-9A-Za-z]{50}")
_KINDS: dict[str, Kind] = {
    "accepted": "accepted",
    "rejected": "dropped",
    "delivered": "delivered",
    "failed": "bounced",
    "opened": "opened",
    "clicked": "clicked",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
}
_SUPPRESSED = {
    "suppress-bounce": "hard_bounce",
    "suppress-complaint": "complaint",
    "suppress-unsubscribe": "unsubscribed",
}


@dataclass(frozen=True)
class Signed:
    """A verified request: `token` is good for this event only."""

    token: str
    event: object


def verify(body: bytes, keys: Sequence[bytes], now: datetime) -> Signed:
    """Raise Forged for a request whose timestamp and token none of the keys signed, or not lately."""
    try:
        content = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise Forged("The body is not JSON.") from None
    signature = content.get("signature") if isinstance(content, dict) else None
    given = [signature.get(name) for name in ("timestamp", "token", "signature")] if isinstance(signature, dict) else []
    if len(given) != 3 or not all(isinstance(part, str) for part in given):
        raise Forged("The request is not signed.")
    timestamp, token, mac = map(str, given)
    require_recent(timestamp, now)
    if not _TOKEN.fullmatch(token):
        raise Forged("The token is not fifty letters and digits.")
    signed = (timestamp + token).encode()
    if not any(hmac.compare_digest(hmac.new(key, signed, "sha256").hexdigest().encode(), mac.encode()) for key in keys):
        raise Forged("The signature is not Mailgun's.")
    return Signed(token, content.get("event-data"))


def read(events: Iterable[object]) -> Report:
    """What verified events tell."""
    return report(events, _event)


def _event(event: Event) -> Reported:
    name = event.get("event")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise NotOurs("unknown_kind" if isinstance(name, str) else "not_an_event")
    status, client = _part(event, "delivery-status"), _part(event, "client-info")
    if name == "failed":
        kind = _failure(event, status)
    agent, bot = client.get("user-agent"), client.get("bot")
    looked = kind in ("opened", "clicked")
    return Reported(
        event_id=event_id("mailgun", event.get("id"), event),
        message_id=message_id_in(event.get("user-variables")),
        kind=kind,
        occurred_at=moment(event.get("timestamp")),
        machine=looked and (bool(bot) or (isinstance(agent, str) and is_program(agent))),
        details=details(
            url=event.get("url") if looked else None,
            reason=status.get("message") or status.get("description") or event.get("reason"),
            status=status.get("enhanced-code") or status.get("code"),
            attempt=status.get("attempt-no") if kind == "deferred" else None,
            suppressed=_SUPPRESSED.get(str(event.get("reason"))) if kind == "dropped" else None,
        ),
    )


def _failure(event: Event, status: Mapping[str, Any]) -> Kind:
    """For now, for good because there is no such mailbox, by Mailgun's own list, or given up for another reason."""
    if event.get("severity") != "permanent":
        return "deferred"
    if event.get("reason") in _SUPPRESSED:
        return "dropped"
    if event.get("reason") == "bounce":
        return "bounced"
    # RFC 3463: 5.1.x is about the address, 5.2.1 a mailbox that was closed; a bare 550 says the same most of the time.
    code = str(status.get("enhanced-code") or "")
    no_mailbox = code.startswith("5.1.") or code == "5.2.1" or (not code and status.get("code") == 550)
    return "bounced" if event.get("reason") == "generic" and no_mailbox else "soft_bounced"


def _part(event: Event, name: str) -> Mapping[str, Any]:
    part = event.get(name)
    return part if isinstance(part, dict) else {}
