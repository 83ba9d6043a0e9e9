"""What providers report about messages comes in here: by webhooks, and by asking where a webhook may be lost."""

import logging
from datetime import timedelta

from perennial.delivery.webhooks import Forged, Report, Reported, mailgun, mailgun_events, sendgrid
from perennial.foundation.days import current_time
from perennial.foundation.settings import Settings
from perennial.ledger import EventKind, Ledger, NewEvent, SetAside, TakenIn, UsedToken, open_ledger

_LATE = timedelta(hours=1)  # events are put in order within half an hour
_AT_FIRST = timedelta(days=3)

log = logging.getLogger(__name__)


def take_sendgrid(key: str, signature: str, timestamp: str, body: bytes, ledger: Ledger, settings: Settings) -> TakenIn:
    """
    Take in a request to SendGrid's webhook; durable when it returns. `key` is the setting.

    Raises Forged for what SendGrid did not sign, BadConfig for a key that is none.
    """
    sendgrid.verify(signature, timestamp, body, sendgrid.public_keys(key), current_time(settings))
    return _take_in("sendgrid", sendgrid.read(body), ledger)


def take_mailgun(key: str, body: bytes, ledger: Ledger, settings: Settings) -> TakenIn:
    """
    Take in a request to Mailgun's webhook; durable when it returns. `key` is the setting.

    Raises Forged for what Mailgun did not sign, and for a token that came with another event before.
    """
    keys = [one.strip().encode() for one in key.split(",")]
    signed = mailgun.verify(body, keys, current_time(settings))
    return _take_in("mailgun", mailgun.read([signed.event]), ledger, UsedToken(signed.token, body))


def poll_mailgun(settings: Settings) -> dict[str, int]:
    """
    Ask Mailgun for the events since the last time, and a little before: what is known already counts once.

    Returns how many there were, and how many new; nothing where no key is set. Killed half-way, the next poll asks for
    all of it again. Raises BadConfig and Retryable as `mailgun_events.pages` does.
    """
    if settings.mailgun_events_key is None:
        return {}
    now = current_time(settings)
    found = {"events": 0, "new": 0}
    with open_ledger(settings) as ledger:
        last = ledger.polled_until("mailgun")
        since = last - _LATE if last else now - _AT_FIRST
        for page in mailgun_events.pages(since, now, settings):
            taken = _take_in("mailgun", mailgun.read(page), ledger)
            found["events"] += len(page)
            found["new"] += len(taken.events)
        ledger.note_poll("mailgun", now)
    return found


def _take_in(provider: str, report: Report, ledger: Ledger, token: UsedToken | None = None) -> TakenIn:
    events = [_event(provider, reported) for reported in report.events]
    taken = ledger.take_in(provider, events, [SetAside(one.reason, one.body) for one in report.aside], token)
    if taken is None:
        raise Forged("The token was used for another event before.")
    log.info("%s told %d events, %d of them new.", provider, len(events), len(taken.events))
    if taken.set_aside:
        log.warning("%s told %d events that are kept aside: see `perennial status`.", provider, taken.set_aside)
    return taken


def _event(provider: str, reported: Reported) -> NewEvent:
    return NewEvent(
        event_id=reported.event_id,
        message_id=reported.message_id,
        kind=EventKind(reported.kind),
        occurred_at=reported.occurred_at,
        provider=provider,
        machine=reported.machine,
        details=reported.details,
    )
