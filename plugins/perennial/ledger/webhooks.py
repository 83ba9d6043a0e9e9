"""What providers' webhooks bring: events, and what is kept aside because nobody understands it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from perennial.ledger.permissions import NewEvent, Permissions
from perennial.ledger.store import Row, insert_new
from perennial.ledger.tables import event_polls, set_aside_events, webhook_tokens

ASIDE_FOR = timedelta(days=30)  # long enough to look into it; bodies hold addresses
ASIDE_CHARACTERS = 4_000
TOKENS_FOR = timedelta(days=3)  # longer than a token is taken at all


@dataclass(frozen=True)
class SetAside:
    """Something a provider signed that is no event about a message of ours: `reason` and what it said."""

    reason: str
    body: str


@dataclass(frozen=True)
class UsedToken:
    """A token that is good for one body."""

    token: str
    body: bytes


@dataclass(frozen=True)
class TakenIn:
    """What of a request was new."""

    events: list[NewEvent]
    set_aside: int


class Webhooks(Permissions):
    """The ledger's part about what providers tell."""

    def take_in(
        self, provider: str, events: Sequence[NewEvent], aside: Sequence[SetAside], token: UsedToken | None = None
    ) -> TakenIn | None:
        """
        Record what one request of `provider` brought, all of it in one transaction: durable when it returns.

        The same again adds nothing. None for a token that came with another body before: nothing is recorded.
        """
        with self._writing() as connection:
            if token is not None and not self._use(connection, token):
                return None
            new = self._record(connection, events)
            return TakenIn(new, self._set_aside(connection, provider, aside))

    def polled_until(self, provider: str) -> datetime | None:
        """Until when this provider was asked for its events; None if never."""
        query = select(event_polls.c.polled_until).where(event_polls.c.provider == provider)
        with self._reading() as connection:
            return connection.scalar(query)

    def note_poll(self, provider: str, until: datetime) -> None:
        """Note that all events before `until` were asked for."""
        with self._writing() as connection:
            connection.execute(event_polls.delete().where(event_polls.c.provider == provider))
            connection.execute(event_polls.insert().values(provider=provider, polled_until=until))

    def set_aside_counts(self) -> list[Row]:
        """What is kept aside: `provider`, `reason`, `events`."""
        columns = (set_aside_events.c.provider, set_aside_events.c.reason)
        query = select(*columns, func.count().label("events")).group_by(*columns).order_by(*columns)
        with self._reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _use(self, connection: Connection, token: UsedToken) -> bool:
        now, body_hash = self._now(), hashlib.sha256(token.body).hexdigest()
        connection.execute(webhook_tokens.delete().where(webhook_tokens.c.received_at < now - TOKENS_FOR))
        row = {"token": token.token, "body_hash": body_hash, "received_at": now}
        if insert_new(connection, webhook_tokens, [row]):
            return True
        used_for = select(webhook_tokens.c.body_hash).where(webhook_tokens.c.token == token.token)
        return connection.scalar(used_for) == body_hash

    def _set_aside(self, connection: Connection, provider: str, aside: Sequence[SetAside]) -> int:
        if not aside:
            return 0
        now = self._now()
        connection.execute(set_aside_events.delete().where(set_aside_events.c.received_at < now - ASIDE_FOR))
        rows = [
            {
                "content_hash": hashlib.sha256(f"{provider}\0{one.reason}\0{one.body}".encode()).hexdigest(),
                "provider": provider,
                "reason": one.reason,
                "body": one.body[:ASIDE_CHARACTERS],
                "received_at": now,
            }
            for one in aside
        ]
        return len(insert_new(connection, set_aside_events, rows))
