"""Clicks and opens that our own web app sees, and whether a person or a machine made them."""

import hashlib
from datetime import timedelta
from typing import Literal

from sqlalchemy import select

from perennial.ledger.permissions import NewEvent, Permissions
from perennial.ledger.states import EventKind
from perennial.ledger.tables import message_events, messages

Visited = Literal[EventKind.OPENED, EventKind.CLICKED]

TOO_SOON = timedelta(seconds=5)  # after its mail was accepted nobody has read and clicked yet
_BURST = timedelta(seconds=1)
_BURST_LINKS = 3  # so many different links of one mail within a second follow each other faster than a person


class Visits(Permissions):
    """The ledger's part about who looked at a mail."""

    def record_visit(self, message_id: str, kind: Visited, *, machine: bool, url: str = "") -> None:
        """
        Note that a mail was opened, or a link of it clicked; once a minute for each link.

        Besides what `machine` says, it was a machine if it came before a person could, or with many links at once.
        """
        now = self._now()
        with self._writing() as connection:
            query = select(messages.c.accepted_at).where(messages.c.message_id == message_id)
            message = connection.execute(query).one_or_none()
            if message is None:
                return
            if message.accepted_at is None or now - message.accepted_at < TOO_SOON:
                machine = True
            if kind is EventKind.CLICKED and not machine:
                recent = [
                    message_events.c.message_id == message_id,
                    message_events.c.kind == EventKind.CLICKED.value,
                    message_events.c.provider == "web",
                    message_events.c.occurred_at > now - _BURST,
                ]
                clicked = connection.execute(select(message_events.c.details).where(*recent))
                if len({url} | {row.details.get("url") for row in clicked}) >= _BURST_LINKS:
                    machine = True
                    connection.execute(message_events.update().where(*recent).values(machine=True))
            what = hashlib.sha256(url.encode()).hexdigest()[:16]
            event = NewEvent(
                event_id=f"web:{kind}:{message_id}:{what}:{now:%Y%m%dT%H%M}:{'machine' if machine else 'person'}",
                message_id=message_id,
                kind=EventKind(kind),
                occurred_at=now,
                provider="web",
                machine=machine,
                details={"url": url} if url else {},
            )
            self._record(connection, [event])
