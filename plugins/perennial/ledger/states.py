"""
The life of a message.

    queued ─► sending ─► accepted ─► delivered         held     suppressed or withdrawn at the last moment
      ▲          │           ├─────► bounced           failed   refused for good, or given up
      │          │           └─────► failed, where the provider drops it
      │          ├─► retry ─► sending …                expired  not sent in time to make sense
      │          └─► unknown ─► accepted | delivered | bounced | failed | queued, by evidence only
      └── a worker died before the message left        cancelled  called off by a person

At any moment the states add up to what was queued. `unknown` is never sent again by itself.
"""

from datetime import timedelta
from enum import StrEnum


class State(StrEnum):
    """Where a message is."""

    QUEUED = "queued"  # waits for its time
    SENDING = "sending"  # claimed by a worker under a lease
    ACCEPTED = "accepted"  # the server took it
    DELIVERED = "delivered"  # the provider says it reached the mailbox
    HELD = "held"  # suppressed, or consent withdrawn, at the last moment
    RETRY = "retry"  # provably not taken; tried again later
    FAILED = "failed"  # refused for good, unrenderable, or given up after the last attempt
    BOUNCED = "bounced"  # taken first, sent back later
    EXPIRED = "expired"  # its time passed before it could be sent
    CANCELLED = "cancelled"  # called off by a person
    UNKNOWN = "unknown"  # may have been taken: the process or the connection died at the wrong moment


class EventKind(StrEnum):
    """What is recorded about a message after, or beside, its state."""

    ACCEPTED = "accepted"  # the provider says that it took it
    DEFERRED = "deferred"  # bounced for now; the provider tries again
    DELIVERED = "delivered"
    DROPPED = "dropped"  # the provider did not try: its own list, or what the mail says
    BOUNCED = "bounced"  # for good: there is no such mailbox
    SOFT_BOUNCED = "soft_bounced"  # given up for a reason that may pass: full, blocked, out of order
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    HANDED_OFF = "handed_off"  # a hand-off journal names a message that a restored ledger does not know


WAITING = (State.QUEUED, State.RETRY)
SETTLED_BY_EVENT = {
    # An event moves a message only from these states. Whatever order events come in, they are applied in this one.
    EventKind.ACCEPTED: (State.ACCEPTED, (State.UNKNOWN,)),
    EventKind.DEFERRED: (State.ACCEPTED, (State.UNKNOWN,)),
    EventKind.DROPPED: (State.FAILED, (State.ACCEPTED, State.UNKNOWN)),
    EventKind.DELIVERED: (State.DELIVERED, (State.ACCEPTED, State.UNKNOWN)),
    EventKind.OPENED: (State.DELIVERED, (State.UNKNOWN,)),  # who opens it has got it
    EventKind.CLICKED: (State.DELIVERED, (State.UNKNOWN,)),
    EventKind.COMPLAINED: (State.DELIVERED, (State.UNKNOWN,)),
    EventKind.UNSUBSCRIBED: (State.DELIVERED, (State.UNKNOWN,)),
    EventKind.BOUNCED: (State.BOUNCED, (State.ACCEPTED, State.DELIVERED, State.UNKNOWN)),
    EventKind.SOFT_BOUNCED: (State.BOUNCED, (State.ACCEPTED, State.DELIVERED, State.UNKNOWN)),
}

_BACKOFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720))
MAX_ATTEMPTS = len(_BACKOFF) + 1


def backoff(attempts: int) -> timedelta | None:
    """How long to wait after the `attempts`-th attempt (from 1) failed for now; None: give up."""
    return _BACKOFF[attempts - 1] if attempts < MAX_ATTEMPTS else None
