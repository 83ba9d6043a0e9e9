"""
SendGrid's Event Webhook: arrays of events, signed by ECDSA over timestamp and body.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from perennial.delivery.machines import is_program
from perennial.delivery.webhooks.report import (
    Event,
    Forged,
    Kind,
    NotOurs,
    Report,
    Reported,
    details,
    elements_of,
    event_id,
    message_id_in,
    moment,
    report,
    require_recent,
)
from perennial.foundation.errors import BadConfig

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"

_KINDS: dict[str, Kind] = {
    "processed": "accepted",
    "deferred": "deferred",
    "delivered": "delivered",
    "dropped": "dropped",
    "bounce": "bounced",
    "open": "opened",
    "click": "clicked",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}
_SUPPRESSED = {  # why SendGrid drops a mail by itself → what we call it
    "bounced address": "hard_bounce",
    "invalid": "hard_bounce",
    "spam reporting address": "complaint",
    "unsubscribed address": "unsubscribed",
}


@lru_cache(maxsize=4)
def public_keys(setting: str) -> tuple[EllipticCurvePublicKey, ...]:
    """The verification keys as SendGrid shows them, separated by commas. Raises BadConfig, which repeats nothing."""
    try:
        keys = [load_der_public_key(base64.b64decode(key, validate=True)) for key in setting.split(",")]
    except (ValueError, UnsupportedAlgorithm):
        keys = []
    fitting = [key for key in keys if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)]
    if not fitting or len(fitting) < len(keys):
        raise BadConfig(
            "PERENNIAL_SENDGRID_WEBHOOK_KEY is not the verification key of SendGrid's signed event webhook "
            "(base64, from Mail Settings, Event Webhooks)."
        )
    return tuple(fitting)


def verify(signature: str, timestamp: str, body: bytes, keys: Sequence[EllipticCurvePublicKey], now: datetime) -> None:
    """
    Raise Forged for what none of the keys signed, or not lately.

    Timestamp and body are signed as one text: that one has ten digits and the other begins with a bracket tells where
    it is divided.
    """
    require_recent(timestamp, now)
    if not body.startswith(b"["):
        raise Forged("The body is no array.")
    try:
        signed = base64.b64decode(signature, validate=True)
    except ValueError:
        raise Forged("The signature is not base64.") from None
    for key in keys:
        try:
            key.verify(signed, timestamp.encode() + body, ECDSA(SHA256()))
        except InvalidSignature:
            continue
        return
    raise Forged("The signature is not SendGrid's.")


def read(body: bytes) -> Report:
    """What a verified body tells."""
    return report(elements_of(body), _event)


def _event(event: Event) -> Reported:
    name = event.get("event")
    kind = _KINDS.get(name.lower()) if isinstance(name, str) else None
    if kind is None:
        raise NotOurs("unknown_kind" if isinstance(name, str) else "not_an_event")
    suppressed = None
    if kind == "bounced" and event.get("type") == "blocked":  # by the receiving server, for now or for who we are
        kind = "soft_bounced"
    elif kind == "dropped":
        suppressed = _SUPPRESSED.get(str(event.get("reason")).lower())
    looked = kind in ("opened", "clicked")
    agent = event.get("useragent")
    return Reported(
        event_id=event_id("sendgrid", event.get("sg_event_id"), event),
        message_id=message_id_in(event),
        kind=kind,
        occurred_at=moment(event.get("timestamp")),
        machine=looked and (event.get("sg_machine_open") is True or (isinstance(agent, str) and is_program(agent))),
        details=details(
            url=event.get("url") if looked else None,
            reason=event.get("reason") or event.get("response"),
            status=event.get("status"),
            attempt=event.get("attempt"),
            suppressed=suppressed,
        ),
    )
