"""What people told us: consents, events, suppressions; and whether a claimed message may still be sent."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from perennial.contracts.erased import salted
from perennial.ledger.events import settle_by_events
from perennial.ledger.states import EventKind, State
from perennial.ledger.store import Row, Store, among, batched, insert_new
from perennial.ledger.tables import (
    consents,
    erased_identifiers,
    ledger_state,
    message_events,
    messages,
    storable,
    suppressions,
)

EVERY_TOPIC = ""
SAID_BY_THE_PERSON = ("unsubscribed", "complaint")
_SUPPRESSED_BY_EVENT = {
    EventKind.BOUNCED: "hard_bounce",
    EventKind.COMPLAINED: "complaint",
    EventKind.UNSUBSCRIBED: "unsubscribed",
}


def address_hash(address: str) -> str:
    """The SHA-256 of an e-mail address, trimmed and in lower case: what the ledger compares people by."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()


@dataclass(frozen=True)
class NewConsent:
    """
    One statement of a person about one channel and topic (None: every topic).

    `source` names whose file said it. Files say a thing again and again: what they say is one statement, whichever of
    them says it, and the proof is that of the first. What was told to us directly is a statement each time.
    """

    channel: str
    state: str  # granted | denied
    recorded_at: datetime
    address_hash: str | None = None
    customer_ref: str | None = None
    topic: str | None = None
    method: str | None = None
    proof: str | None = None
    source: str | None = None

    @property
    def content_hash(self) -> str:
        """What it is known by."""
        said = asdict(self)
        if said.pop("source") is not None:
            said = {name: said[name] for name in ("channel", "topic", "state", "recorded_at", "address_hash")}
        return _hash_of(said)


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
        new = [{"content_hash": row.content_hash, **asdict(row), "appended_at": now} for row in rows]
        return len(insert_new(connection, consents, new))

    def suppress(
        self,
        address_hashes: Iterable[str],
        reason: str,
        *,
        topic: str = EVERY_TOPIC,
        expires_at: datetime | None = None,
        by: str = "perennial",
        why: str | None = None,
    ) -> int:
        """Send these addresses nothing more about `topic` (default: nothing at all); returns how many are new."""
        with self._writing() as connection:
            rows = [self._suppression(hashed, reason, topic, expires_at) for hashed in address_hashes]
            added = put_suppressions(connection, rows)
            if added:
                self._audit(connection, "suppress", f"{added} addresses", by, reason=reason, topic=topic, why=why)
        return added

    def suppressions_of(self, hashed: str) -> list[Row]:
        """What keeps mail from an address, over or not, newest first."""
        told = suppressions.c
        query = select(told.reason, told.topic, told.created_at, told.expires_at).where(told.address_hash == hashed)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(told.created_at.desc(), told.reason, told.topic))
            return [dict(row) for row in rows.mappings()]

    def lift_suppressions(self, hashed: str, *, by: str, why: str) -> int:
        """
        End what keeps mail from an address, except what the person said themselves; returns how many ended now.

        An unsubscribe or a complaint is taken back by the person alone, by a new consent.
        """
        now = self._now()
        in_force = or_(suppressions.c.expires_at.is_(None), suppressions.c.expires_at > now)
        ours = suppressions.c.reason.not_in(SAID_BY_THE_PERSON)
        update = suppressions.update().where(suppressions.c.address_hash == hashed, ours, in_force)
        with self._writing() as connection:
            lifted = connection.execute(update.values(expires_at=now, created_at=now)).rowcount
            if lifted:
                self._audit(connection, "lift_suppressions", f"{lifted} of one address", by, why=why)
        return lifted

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

        Seen by id or by content, an event counts once. States follow events (SETTLED_BY_EVENT); a bounce, a complaint
        or an unsubscribe suppresses its address. A machine's event changes nothing but is kept.
        """
        with self._writing() as connection:
            return len(self._record(connection, events))

    def _record(self, connection: Connection, events: Sequence[NewEvent]) -> list[NewEvent]:
        """Insert events, follow those that are new, and return these."""
        silent = _of_the_erased(connection, {event.message_id for event in events if event.details})
        events = [replace(event, details={}) if event.message_id in silent else event for event in events]
        inserted = set(insert_new(connection, message_events, [self._event_row(event) for event in events]))
        new = []
        for event in events:
            if (event_id := storable(event.event_id)) in inserted:
                inserted.remove(event_id)  # of several with one id in a batch the first counts
                new.append(event)
        told = [event for event in new if not event.machine]
        settle_by_events(connection, [event.message_id for event in told], self._now())
        self._suppress_by(connection, told)
        return new

    def _event_row(self, event: NewEvent) -> Row:
        row = {**vars(event), "kind": event.kind.value, "details": dict(event.details)}
        return {**row, "content_hash": _hash_of({**row, "event_id": None}), "recorded_at": self._now()}

    def _suppress_by(self, connection: Connection, events: Sequence[NewEvent]) -> None:
        """What bounces, complaints and unsubscribes told by a provider mean for their addresses."""
        reasons = [(event, reason) for event in events if (reason := _suppression_reason(event))]
        known = _receivers(connection, [event.message_id for event, _ in reasons])
        found, withdrawals = [], []
        for event, reason in reasons:
            message = known.get(event.message_id)
            if message is None:
                continue
            topic = message.topic if reason == "unsubscribed" else EVERY_TOPIC
            found.append(self._suppression(message.address_hash, reason, topic, message_id=event.message_id))
            if event.kind is EventKind.UNSUBSCRIBED:
                withdrawals.append(
                    NewConsent(
                        channel="email",
                        state="denied",
                        recorded_at=event.occurred_at,
                        address_hash=message.address_hash,
                        customer_ref=message.customer_id,
                        topic=message.topic,
                        method=event.provider,
                        proof=json.dumps({"message_id": event.message_id}),
                    )
                )
        put_suppressions(connection, found)
        self._append_consents(connection, withdrawals)

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
            settle_by_events(connection, [message_id], now)
            if put_suppressions(connection, [suppression]) or said:
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

    def _withdraw(self, connection: Connection, statement: NewConsent, message_id: str) -> None:
        """Append a withdrawal, and suppress its topic at once."""
        self._append_consents(connection, [statement])
        hashed, topic = str(statement.address_hash), statement.topic or EVERY_TOPIC
        put_suppressions(connection, [self._suppression(hashed, "unsubscribed", topic, message_id=message_id)])

    def _grant(self, connection: Connection, statement: NewConsent) -> None:
        """Append a consent, and end what an earlier withdrawal of its topic suppressed; nothing else."""
        now = self._now()
        self._append_consents(connection, [statement])
        withdrawn = suppressions.update().where(
            suppressions.c.address_hash == statement.address_hash,
            suppressions.c.reason == "unsubscribed",
            suppressions.c.topic == (statement.topic or EVERY_TOPIC),
            or_(suppressions.c.expires_at.is_(None), suppressions.c.expires_at > now),
        )
        connection.execute(withdrawn.values(expires_at=now, created_at=now))  # the mirror goes by `created_at`

    def objections(self, lease_id: str) -> dict[str, str]:
        """
        Which claimed messages must not go out after all: message_id → `suppressed`, `no_consent` or `erased`.

        Checked against what the ledger knows now. Planning asks for consent; this looks for what came since: a
        suppression of the topic or of everything, or, for promotional mail, a last word about either that denies it.
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
            select(messages.c.message_id, consents.c.topic, consents.c.state)
            .join(consents, consents.c.address_hash == messages.c.address_hash)
            .where(claimed, messages.c.purpose == "promotional", consents.c.channel == "email")
            .where(or_(consents.c.topic.is_(None), consents.c.topic == messages.c.topic))
            .order_by(consents.c.recorded_at, consents.c.state.desc())  # at the same moment, denied wins
        )
        with self._reading() as connection:
            newest = {(row.message_id, row.topic): row.state for row in connection.execute(statements)}
            found = {message_id: "no_consent" for (message_id, _), state in newest.items() if state == "denied"}
            found.update(dict.fromkeys(connection.scalars(suppressed), "suppressed"))
            found.update(dict.fromkeys(_to_the_erased(connection, claimed), "erased"))
        return found


def _suppression_reason(event: NewEvent) -> str | None:
    """Why the event's address gets no more; a drop says itself whether the provider's own list was why."""
    if event.kind is EventKind.DROPPED:
        because = event.details.get("suppressed")
        return because if because in _SUPPRESSED_BY_EVENT.values() else None
    return _SUPPRESSED_BY_EVENT.get(event.kind)


def _receivers(connection: Connection, message_ids: Sequence[str]) -> dict[str, Any]:
    columns = (messages.c.message_id, messages.c.address_hash, messages.c.customer_id, messages.c.topic)
    found: dict[str, Any] = {}
    for ids in batched(message_ids):
        query = select(*columns).where(among(connection, messages.c.message_id, ids))
        found |= {row.message_id: row for row in connection.execute(query)}
    return found


def _of_the_erased(connection: Connection, message_ids: Collection[str]) -> set[str]:
    """Those of the messages whose receiver was erased: what comes late says nothing of them."""
    ids = sorted(message_ids)
    found: set[str] = set()
    for some_ids in batched(ids):
        some = messages.c.message_id.in_(some_ids)
        found.update(connection.scalars(select(messages.c.message_id).where(some, messages.c.address == "")))
    return found


def _to_the_erased(connection: Connection, claimed: Any) -> set[str]:
    """Those of the claimed messages that would go to somebody who was erased."""
    if connection.scalar(select(erased_identifiers.c.hash).limit(1)) is None:
        return set()
    salt = connection.scalars(select(ledger_state.c.ledger_id)).one()
    rows = connection.execute(select(messages.c.message_id, messages.c.address).where(claimed))
    hashes = {row.message_id: salted(f"email:{row.address}", salt) for row in rows}
    query = select(erased_identifiers.c.hash).where(erased_identifiers.c.hash.in_(set(hashes.values())))
    erased = set(connection.scalars(query))
    return {message_id for message_id, hashed in hashes.items() if hashed in erased}


def put_suppressions(connection: Connection, rows: Sequence[Row]) -> int:
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
