"""
The ledger's part about mail that did not arrive: what servers and reports say of an address, and what follows.

A mailbox that does not exist suppresses its address for good. Any other failure may be the sender's, the server's or a
full mailbox: such soft bounces are counted, and after some of them the address rests for a while.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, exists, or_, select

from perennial.ledger.permissions import EVERY_TOPIC, NewEvent, Permissions, put_suppressions
from perennial.ledger.states import EventKind, State
from perennial.ledger.store import insert_new
from perennial.ledger.tables import message_events, messages, reports_read

_LOOKED_BACK = timedelta(days=30)  # at refusals: a sweep that did not run for so long has missed some
_PROVEN_AFTER = timedelta(hours=72)  # a mail taken so long ago, of which nothing was heard, has arrived
_AT_ONCE = 500  # values in one statement
# What a server says of the receiver: to RCPT, or after the dot. Other steps are about us.
_SAID_OF_RECEIVER = re.compile(r"(?:RCPT: )?([45])\d\d[ -]+(?:([245]\.\d{1,3}\.\d{1,3})\b)?")
# RFC 3463: 5.1.x is a bad address of the receiver (7 and 8 are the sender's), 5.2.1 a mailbox that was closed.
_GONE = re.compile(r"5\.(1\.(?!7$|8$)\d{1,3}|2\.1)")


def is_gone(status: str | None) -> bool:
    """Whether an enhanced status code (RFC 3463) says that there is no such mailbox, and there will be none."""
    return status is not None and _GONE.fullmatch(status) is not None


@dataclass(frozen=True)
class ReadReport:
    """A report that was read: the SHA-256 of its file, and the event that it tells or why it tells none."""

    content_hash: str
    outcome: str  # recorded | ignored | no_report; `unmatched` if the ledger knows no message of the event
    event: NewEvent | None = None


class Bounces(Permissions):
    """The ledger's part about mail that came back."""

    def unread_reports(self, content_hashes: Sequence[str]) -> set[str]:
        """Those of the hashes that `take_reports` has not had yet."""
        read = reports_read.c.content_hash
        with self._reading() as connection:
            return set(content_hashes) - {
                known
                for start in range(0, len(content_hashes), _AT_ONCE)
                for known in connection.scalars(select(read).where(read.in_(content_hashes[start : start + _AT_ONCE])))
            }

    def take_reports(self, reports: Iterable[ReadReport]) -> Counter[str]:
        """
        Record what reports tell, with what follows, and that they were read, at once; how many are new by outcome.

        A report about a message that the ledger does not know is set aside as `unmatched`.
        """
        taken: Counter[str] = Counter()
        now = self._now()
        with self._writing() as connection:
            for report in reports:
                outcome = report.outcome
                if report.event is not None:
                    of_ours = select(messages.c.message_id).where(messages.c.message_id == report.event.message_id)
                    outcome = outcome if connection.scalar(of_ours) else "unmatched"
                row = {"content_hash": report.content_hash, "outcome": outcome, "read_at": now}
                if not insert_new(connection, reports_read, [row]):
                    continue  # another run was quicker
                if report.event is not None and outcome != "unmatched":
                    self._record(connection, [report.event])
                taken[outcome] += 1
        return taken

    def note_refusals(self) -> int:
        """
        Make events of what mail servers said when they refused a receiver for good; returns how many were new.

        `bounced`, which suppresses the address, where there is no such mailbox; else `soft_bounced`.
        """
        told = exists().where(
            message_events.c.message_id == messages.c.message_id,
            message_events.c.kind.in_([EventKind.BOUNCED.value, EventKind.SOFT_BOUNCED.value]),
        )
        query = select(
            messages.c.message_id, messages.c.provider, messages.c.provider_reply, messages.c.settled_at
        ).where(
            messages.c.updated_at > self._now() - _LOOKED_BACK,
            messages.c.state == State.FAILED.value,
            messages.c.provider_reply.is_not(None),
            ~told,
        )
        with self._reading() as connection:
            refused = connection.execute(query).all()
        events = []
        for row in refused:
            if said := _SAID_OF_RECEIVER.match(row.provider_reply):
                kind = EventKind.BOUNCED if is_gone(said[2]) else EventKind.SOFT_BOUNCED
                events.append(
                    NewEvent(
                        event_id=f"refused:{row.message_id}",
                        message_id=row.message_id,
                        kind=kind,
                        occurred_at=row.settled_at,
                        provider=row.provider,
                        details={"status": said[2] or f"{said[1]}xx"},
                    )
                )
        return self.record_events(events) if events else 0

    def rest_soft_bounced(self, *, after: int, within_days: int, rest_days: int) -> int:
        """
        Suppress addresses to which `after` mails or more soft-bounced lately; returns how many rest now or longer.

        Lately is within `within_days`; they rest for `rest_days` from the last one on. What bounced before the last
        good delivery counts no more: a mail has arrived when its server says so, or when nothing was heard of it for
        three days after it was taken.
        """
        since = self._now() - timedelta(days=within_days)
        with self._writing() as connection:
            bounced = connection.execute(
                select(messages.c.address_hash, message_events.c.message_id, message_events.c.occurred_at)
                .join(messages, messages.c.message_id == message_events.c.message_id)
                .where(
                    message_events.c.recorded_at >= since,
                    message_events.c.kind == EventKind.SOFT_BOUNCED.value,
                    ~message_events.c.machine,
                    message_events.c.occurred_at >= since,
                )
            ).all()
            by_address: dict[str, dict[str, datetime]] = defaultdict(dict)
            for row in bounced:
                by_address[row.address_hash][row.message_id] = row.occurred_at
            suspects = {hashed: soft for hashed, soft in by_address.items() if len(soft) >= after}
            rows = []
            for hashed, soft in suspects.items():
                arrived = connection.scalar(_newest_arrival(hashed, self._now()))
                counting = [at for at in soft.values() if arrived is None or at > arrived]
                if len(counting) >= after:
                    until = max(counting) + timedelta(days=rest_days)
                    rows.append(self._suppression(hashed, "soft_bounce", EVERY_TOPIC, until))
            resting = put_suppressions(connection, rows)
            if resting:
                self._audit(connection, "suppress", f"{resting} addresses", "perennial", reason="soft_bounce")
        return resting


def _newest_arrival(hashed: str, now: datetime) -> Select[Any]:
    """When the newest of the mails to the address that arrived was taken."""
    when = messages.c.accepted_at
    silent = and_(messages.c.state == State.ACCEPTED.value, when <= now - _PROVEN_AFTER)
    return (
        select(when)
        .where(messages.c.address_hash == hashed, when.is_not(None))
        .where(or_(messages.c.state == State.DELIVERED.value, silent))
        .order_by(when.desc())
        .limit(1)
    )
