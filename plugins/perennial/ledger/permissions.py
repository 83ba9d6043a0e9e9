"""What people told us: consents, events, suppressions; and whether a claimed message may still be sent."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from perennial.ledger.states import SETTLED_BY_EVENT, EventKind, State
from perennial.ledger.store import Row, Store, insert_new
from perennial.ledger.tables import consents, message_events, messages, storable, suppressions

EVERY_TOPIC = ""
_SUPPRESSED_BY_EVENT = {EventKind.BOUNCED: "hard_bounce", EventKind.COMPLAINED: "complaint"}


def address_hash(address: str) -> str:
    """The SHA-256 of an e-mail address, trimmed and in lower case: what the ledger compares people by."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()


@dataclass(frozen=True)
class NewConsent:
    """One statement of a person about one channel and topic (None: every topic)."""

    channel: str
    state: str  # granted | denied
    recorded_at: datetime
    address_hash: str | None = None
    customer_ref: str | None = None
    topic: str | None = None
    method: str | None = None
    proof: str | None = None


@dataclass(frozen=True)
class NewEvent:
    """Something that happened to a message, as a provider or our own web app tells it."""

    event_id: str
    message_id: str
    kind: EventKind
    occurred_at: datetime
    provider: str
    machine: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


class Permissions(Store):
    """The ledger's part about what people want and what providers report."""

    def append_consents(self, rows: Iterable[NewConsent]) -> int:
        """Append statements; the same statement again adds nothing. Returns how many were new."""
        with self._writing() as connection:
            return self._append_consents(connection, rows)

    def _append_consents(self, connection: Connection, rows: Iterable[NewConsent]) -> int:
        now = self._now()
        new = [{"content_hash": _hash_of(asdict(row)), **asdict(row), "appended_at": now} for row in rows]
        return len(insert_new(connection, consents, new))

    def suppress(
        self,
        address_hashes: Iterable[str],
        reason: str,
        *,
        topic: str = EVERY_TOPIC,
        expires_at: datetime | None = None,
        by: str = "perennial",
    ) -> int:
        """Send these addresses nothing more about `topic` (default: nothing at all); returns how many are new."""
        with self._writing() as connection:
            rows = [self._suppression(hashed, reason, topic, expires_at) for hashed in address_hashes]
            added = _put_suppressions(connection, rows)
            if added:
                self._audit(connection, "suppress", f"{added} addresses", by, reason=reason, topic=topic)
        return added

    def _suppression(
        self,
        hashed: str,
        reason: str,
        topic: str,
        expires_at: datetime | None = None,
        message_id: str | None = None,
    ) -> Row:
        return {
            "suppression_id": _hash_of({"address_hash": hashed, "reason": reason, "topic": topic}),
            "address_hash": hashed,
            "reason": reason,
            "topic": topic,
            "created_at": self._now(),
            "expires_at": expires_at,
            "message_id": message_id,
        }

    def record_events(self, events: Sequence[NewEvent]) -> int:
        """
        Record events with what follows from them, all in one transaction; returns how many were new.

        Seen by id or by content, an event counts once. `delivered` and `bounced` move the message; a bounce or a
        complaint suppresses its address. A machine's event changes nothing but is kept.
        """
        with self._writing() as connection:
            new = set(insert_new(connection, message_events, [self._event_row(event) for event in events]))
            for event in events:
                if storable(event.event_id) in new and not event.machine:
                    self._follow(connection, event)
        return len(new)

    def _event_row(self, event: NewEvent) -> Row:
        content = {**asdict(event), "event_id": None, "details": dict(event.details)}
        return {
            **asdict(event),
            "kind": event.kind.value,
            "content_hash": _hash_of(content),
            "recorded_at": self._now(),
        }

    def _follow(self, connection: Connection, event: NewEvent) -> None:
        now = self._now()
        if event.kind in SETTLED_BY_EVENT:
            state, movable = SETTLED_BY_EVENT[event.kind]
            is_movable = messages.c.state.in_([old.value for old in movable])
            update = messages.update().where(messages.c.message_id == event.message_id, is_movable)
            connection.execute(update.values(state=state.value, settled_at=now, updated_at=now))
        if event.kind in _SUPPRESSED_BY_EVENT:
            about = select(messages.c.address_hash).where(messages.c.message_id == event.message_id)
            hashed = connection.scalar(about)
            if hashed is not None:
                reason = _SUPPRESSED_BY_EVENT[event.kind]
                row = self._suppression(hashed, reason, EVERY_TOPIC, message_id=event.message_id)
                _put_suppressions(connection, [row])

    def unsubscribe(self, message_id: str, *, method: str, proof: Mapping[str, Any]) -> bool:
        """
        The receiver of this message wants no more of its topic: suppression, withdrawal and event at once.

        Durable when it returns; again changes nothing. False when the ledger knows no such message.
        """
        now = self._now()
        with self._writing() as connection:
            query = select(messages.c.address_hash, messages.c.customer_id, messages.c.topic).where(
                messages.c.message_id == message_id
            )
            message = connection.execute(query).one_or_none()
            if message is None:
                return False
            event = NewEvent(
                event_id=f"unsubscribed:{message_id}",
                message_id=message_id,
                kind=EventKind.UNSUBSCRIBED,
                occurred_at=now,
                provider="web",
                details={"method": method},
            )
            said = insert_new(connection, message_events, [self._event_row(event)])
            suppression = self._suppression(message.address_hash, "unsubscribed", message.topic, message_id=message_id)
            if _put_suppressions(connection, [suppression]) or said:
                withdrawal = NewConsent(
                    channel="email",
                    state="denied",
                    recorded_at=now,
                    address_hash=message.address_hash,
                    customer_ref=message.customer_id,
                    topic=message.topic,
                    method=method,
                    proof=json.dumps({**proof, "message_id": message_id}, sort_keys=True),
                )
                self._append_consents(connection, [withdrawal])
        return True

    def objections(self, lease_id: str) -> dict[str, str]:
        """
        Which claimed messages must not go out after all: message_id → `suppressed` or `no_consent`.

        Checked against what the ledger knows now. Planning asks for consent; this looks for what came since: a
        suppression of the topic or of everything, or, for promotional mail, a newest statement that denies it.
        """
        claimed = and_(messages.c.lease_id == lease_id, messages.c.state == State.SENDING.value)
        same_address = suppressions.c.address_hash == messages.c.address_hash
        suppressed = (
            select(messages.c.message_id)
            .join(suppressions, same_address)
            .where(claimed, or_(suppressions.c.topic == EVERY_TOPIC, suppressions.c.topic == messages.c.topic))
            .where(or_(suppressions.c.expires_at.is_(None), suppressions.c.expires_at > self._now()))
        )
        statements = (
            select(messages.c.message_id, consents.c.state)
            .join(consents, consents.c.address_hash == messages.c.address_hash)
            .where(claimed, messages.c.purpose == "promotional", consents.c.channel == "email")
            .where(or_(consents.c.topic.is_(None), consents.c.topic == messages.c.topic))
            .order_by(consents.c.recorded_at, consents.c.state.desc())  # at the same moment, denied wins
        )
        with self._reading() as connection:
            newest = {row.message_id: row.state for row in connection.execute(statements)}
            found = {message_id: "no_consent" for message_id, state in newest.items() if state == "denied"}
            found.update(dict.fromkeys(connection.scalars(suppressed), "suppressed"))
        return found


def _put_suppressions(connection: Connection, rows: Sequence[Row]) -> int:
    """Insert suppressions, or lengthen those that would end earlier; returns how many rows are new or longer."""
    inserted = set(insert_new(connection, suppressions, rows))
    changed = len(inserted)
    for row in rows:
        if row["suppression_id"] not in inserted:
            ends = suppressions.c.expires_at
            is_longer = ends.is_not(None) if row["expires_at"] is None else ends < row["expires_at"]
            update = suppressions.update().where(suppressions.c.suppression_id == row["suppression_id"], is_longer)
            changed += connection.execute(
                update.values(expires_at=row["expires_at"], created_at=row["created_at"])
            ).rowcount
    return changed


def _hash_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
