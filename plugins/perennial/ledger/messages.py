"""The outbox: queue, claim, settle. Every message obeys only the lease it names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import Permanent
from perennial.ledger.permissions import address_hash
from perennial.ledger.states import WAITING, EventKind, State, backoff
from perennial.ledger.store import Row, Store, insert_new
from perennial.ledger.tables import campaign_runs, leases, message_events, messages, templates

_NAMESPACE = UUID("6f1d1f0e-8a44-5d0c-9d55-5f1c62d0a7b1")  # ours; changing it would let every message go out again
_QUEUE_BATCH = 500
_SETTLES_UNKNOWN = {State.ACCEPTED, State.FAILED, State.CANCELLED, State.QUEUED}
USEFUL_FOR = timedelta(days=3)  # a message not sent so long after its time is not sent at all


def message_id_of(campaign: str, occurrence: str, customer_id: str) -> str:
    """The id of the one message a customer may get from one occurrence of a campaign."""
    return str(uuid5(_NAMESPACE, f"{campaign}|{occurrence}|{customer_id}"))


@dataclass(frozen=True)
class NewMessage:
    """A message to queue: everything its delivery will need, beside its template."""

    occurrence: str
    customer_id: str
    address: str
    locale: str
    purpose: str  # promotional | transactional | service
    topic: str
    template_hash: str
    context: Mapping[str, Any]
    not_before: datetime
    arm: str | None = None
    variant: str | None = None
    expires_at: datetime | None = None  # default: not_before + USEFUL_FOR


@dataclass(frozen=True)
class Outcome:
    """What became of one claimed message."""

    message_id: str
    state: State
    reply: str | None = None  # what the provider said
    reason: str | None = None  # why it was held, failed or is unknown
    handed_at: datetime | None = None  # when its body began to leave


@dataclass(frozen=True)
class Claimed:
    """One message of a claim, with its template's sources."""

    message_id: str
    campaign: str
    customer_id: str
    address: str
    locale: str
    purpose: str
    topic: str
    context: dict[str, Any]
    template_hash: str
    subject: str
    html: str
    text: str


@dataclass(frozen=True)
class Claim:
    """A batch of messages that belongs to the holder of the lease, and to nobody else."""

    lease_id: str
    messages: list[Claimed]


@dataclass(frozen=True)
class OpenLease:
    """A claim whose outcome nobody has recorded yet."""

    lease_id: str
    is_expired: bool
    message_ids: list[str]


class Messages(Store):
    """The ledger's part about messages on their way."""

    def queue(self, run: Run, campaign: str, provider: str, rows: Iterable[NewMessage]) -> int:
        """
        Queue the messages of a frozen campaign run for `provider` (mailbox | smtp); returns how many were new.

        Queueing again adds nothing, and one address gets one copy. Committed in batches: killed half-way, queue again.
        Raises Permanent for a run that may not queue, for a demo outside the mailbox, for decisions not frozen and
        for an old ledger put back.
        """
        if not run.origin.may_queue:
            raise Permanent(f"A {run.origin} run queues no mail: only a live run does ({campaign}, day {run.day}).")
        if run.origin is Origin.DEMO and provider != "mailbox":
            raise Permanent(
                f"A demo run sends to the local mailbox only, not by {provider!r}: set PERENNIAL_DELIVERY=mailbox, or "
                f"take the demo clock (PERENNIAL_NOW, or {self._settings.demo_clock}) away to send for real."
            )
        added, remaining = 0, iter(rows)
        while batch := list(islice(remaining, _QUEUE_BATCH)):
            with self._writing(newest=True) as connection:
                _require_frozen(connection, campaign, run.send_day)
                added += self._queue_batch(connection, run, campaign, provider, batch)
        with self._writing(newest=True) as connection:
            _require_frozen(connection, campaign, run.send_day)
            key = (campaign_runs.c.campaign == campaign, campaign_runs.c.send_day == run.send_day)
            fresh = campaign_runs.update().where(*key, campaign_runs.c.state == "frozen")
            connection.execute(fresh.values(state="queued", queued_at=self._now()))
        return added

    def _queue_batch(
        self, connection: Connection, run: Run, campaign: str, provider: str, batch: Sequence[NewMessage]
    ) -> int:
        now = self._now()
        ids = [message_id_of(campaign, row.occurrence, row.customer_id) for row in batch]
        gone = _handed_off(connection, ids)
        rows = [
            {
                "message_id": message_id,
                "campaign": campaign,
                "occurrence": row.occurrence,
                "send_day": run.send_day,
                "customer_id": row.customer_id,
                "address": row.address,
                "address_hash": address_hash(row.address),
                "locale": row.locale,
                "arm": row.arm,
                "variant": row.variant,
                "purpose": row.purpose,
                "topic": row.topic,
                "template_hash": row.template_hash,
                "context": dict(row.context),
                "not_before": row.not_before,
                "expires_at": row.expires_at or row.not_before + USEFUL_FOR,
                "provider": provider,
                "state": (State.UNKNOWN if message_id in gone else State.QUEUED).value,
                "reason": "handed off before an old ledger was put back" if message_id in gone else None,
                "attempts": 0,
                "next_attempt_at": row.not_before,
                "queued_at": now,
                "updated_at": now,
            }
            for message_id, row in zip(ids, batch, strict=True)
        ]
        return len(insert_new(connection, messages, rows))

    def claim(self, lease_id: str, provider: str, limit: int, lease_for: timedelta) -> Claim | None:
        """
        Take up to `limit` due messages of `provider` under a new lease; None when nothing is due.

        Two claims never share a message. Messages past their time expire here. Raises Permanent on an old ledger.
        """
        now = self._now()
        waiting = and_(messages.c.provider == provider, messages.c.state.in_([state.value for state in WAITING]))
        due = (
            select(messages.c.message_id)
            .where(waiting, messages.c.next_attempt_at <= now)
            .order_by(messages.c.next_attempt_at, messages.c.message_id)
            .limit(limit)
        )
        if not self._has_due(now, provider):
            return None
        with self._writing(newest=True) as connection:
            _settle_as(connection, and_(waiting, messages.c.expires_at <= now), State.EXPIRED, "not sent in time", now)
            ids = connection.scalars(due).all()
            if not ids:
                return None
            row = {"lease_id": lease_id, "provider": provider, "claimed_at": now, "expires_at": now + lease_for}
            connection.execute(leases.insert().values(row))
            taken = messages.update().where(messages.c.message_id.in_(ids))
            connection.execute(
                taken.values(
                    state=State.SENDING.value, lease_id=lease_id, attempts=messages.c.attempts + 1, updated_at=now
                )
            )
            claimed = _claimed(connection, lease_id)
        return Claim(lease_id, claimed)

    def _has_due(self, now: datetime, provider: str) -> bool:
        # A look before the write lock: the flow asks every minute, mostly in vain.
        with self._reading() as connection:
            states = messages.c.state.in_([state.value for state in WAITING])
            due = or_(messages.c.next_attempt_at <= now, messages.c.expires_at <= now)
            query = select(messages.c.message_id).where(messages.c.provider == provider, states, due).limit(1)
            return connection.scalar(query) is not None

    def settle(self, lease_id: str, outcomes: Iterable[Outcome]) -> int:
        """
        Record what became of a claim and close its lease; returns how many messages moved.

        A claimed message without an outcome becomes `unknown`. Settling again, or late, moves only messages that
        still name this lease and are not settled otherwise. A retry too many is `failed`.
        """
        now = self._now()
        with self._writing() as connection:
            mine = select(messages.c.message_id, messages.c.attempts).where(
                messages.c.lease_id == lease_id,
                messages.c.state.in_([State.SENDING.value, State.UNKNOWN.value]),
            )
            attempts = {row.message_id: row.attempts for row in connection.execute(mine)}
            changes = [
                {"id": outcome.message_id, **_change(outcome, attempts[outcome.message_id], now)}
                for outcome in outcomes
                if outcome.message_id in attempts
            ]
            if changes:
                connection.execute(messages.update().where(messages.c.message_id == bindparam("id")), changes)
            left = and_(messages.c.lease_id == lease_id, messages.c.state == State.SENDING.value)
            _settle_as(connection, left, State.UNKNOWN, "no record of what became of it", now)
            closing = leases.update().where(leases.c.lease_id == lease_id, leases.c.closed_at.is_(None))
            connection.execute(closing.values(closed_at=now))
        return len(changes)

    def open_leases(self) -> list[OpenLease]:
        """Claims not settled: of workers at work, or dead."""
        with self._reading() as connection:
            rows = connection.execute(
                select(leases.c.lease_id, leases.c.expires_at, messages.c.message_id)
                .join(messages, messages.c.lease_id == leases.c.lease_id, isouter=True)
                .where(leases.c.closed_at.is_(None))
                .order_by(leases.c.claimed_at, leases.c.lease_id, messages.c.message_id)
            ).all()
        now = self._now()
        found: dict[str, OpenLease] = {}
        for row in rows:
            lease = found.setdefault(row.lease_id, OpenLease(row.lease_id, row.expires_at <= now, []))
            if row.message_id is not None:
                lease.message_ids.append(row.message_id)
        return list(found.values())

    def unknown(self, provider: str) -> dict[str, str | None]:
        """Messages in state `unknown` sent by `provider`: message_id → the lease under which they went."""
        query = select(messages.c.message_id, messages.c.lease_id).where(
            messages.c.provider == provider, messages.c.state == State.UNKNOWN.value
        )
        with self._reading() as connection:
            return {row.message_id: row.lease_id for row in connection.execute(query)}

    def settle_unknown(self, outcomes: Sequence[Outcome], *, by: str, why: str) -> int:
        """
        Settle unknown messages by evidence (`by`: a provider or a person); returns how many were unknown until now.

        To `queued` only with proof that they were not taken: they will be sent again.
        """
        odd = {outcome.state for outcome in outcomes} - _SETTLES_UNKNOWN
        if odd:
            raise Permanent(f"An unknown message cannot become {', '.join(sorted(odd))}.")
        now = self._now()
        with self._writing(newest=True) as connection:
            settled = 0
            for outcome in outcomes:
                values = {name: value for name, value in _change(outcome, 0, now).items() if value is not None}
                update = messages.update().where(
                    messages.c.message_id == outcome.message_id, messages.c.state == State.UNKNOWN.value
                )
                settled += connection.execute(update.values(values)).rowcount
            if settled:
                self._audit(connection, "settle_unknown", f"{settled} messages", by, why=why)
        return settled

    def counts_by_state(self, *, campaign: str | None = None, send_day: date | None = None) -> dict[str, int]:
        """Messages by state, all of them or those of one campaign or send day."""
        query = (
            select(messages.c.state, func.count().label("messages"))
            .group_by(messages.c.state)
            .order_by(messages.c.state)
        )
        if campaign is not None:
            query = query.where(messages.c.campaign == campaign)
        if send_day is not None:
            query = query.where(messages.c.send_day == send_day)
        with self._reading() as connection:
            return {row.state: row.messages for row in connection.execute(query)}

    def accepted_since(self, moment: datetime) -> list[Row]:
        """Messages that a server accepted at `moment` or later, oldest first."""
        return self._message_rows(messages.c.accepted_at >= moment)

    def messages_of(self, *customer_ids: str) -> list[Row]:
        """All messages of a customer, under all their numbers, newest first, without address and context."""
        return self._message_rows(messages.c.customer_id.in_(customer_ids))

    def message(self, message_id: str) -> Row | None:
        """One message, without address and context."""
        rows = self._message_rows(messages.c.message_id == message_id)
        return rows[0] if rows else None

    def _message_rows(self, which: Any) -> list[Row]:
        columns = [column for column in messages.columns if column.name not in ("address", "context")]
        query = select(*columns).where(which).order_by(messages.c.queued_at.desc(), messages.c.message_id)
        with self._reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


def _require_frozen(connection: Connection, campaign: str, send_day: date) -> None:
    key = (campaign_runs.c.campaign == campaign, campaign_runs.c.send_day == send_day)
    if connection.scalar(select(campaign_runs.c.state).where(*key)) is None:
        raise Permanent(f"The decisions of {campaign} for {send_day} are not frozen: plan first, then queue.")


def _handed_off(connection: Connection, ids: Sequence[str]) -> set[str]:
    query = select(message_events.c.message_id).where(
        message_events.c.message_id.in_(ids), message_events.c.kind == EventKind.HANDED_OFF.value
    )
    return set(connection.scalars(query))


def _claimed(connection: Connection, lease_id: str) -> list[Claimed]:
    names = [name for name in Claimed.__dataclass_fields__ if name not in ("subject", "html", "text")]
    query = (
        select(*(messages.c[name] for name in names), templates.c.subject, templates.c.html, templates.c.text)
        .join(templates, templates.c.template_hash == messages.c.template_hash)
        .where(messages.c.lease_id == lease_id)
        .order_by(messages.c.next_attempt_at, messages.c.message_id)
    )
    return [Claimed(**row) for row in connection.execute(query).mappings()]


def _change(outcome: Outcome, attempts: int, now: datetime) -> Row:
    """The columns that an outcome sets; a retry waits, and after the last attempt is a failure."""
    state, reason, next_attempt_at = outcome.state, outcome.reason, None
    if state is State.RETRY:
        wait = backoff(attempts)
        if wait is None:
            state, reason = State.FAILED, f"given up after {attempts} attempts: {reason or outcome.reply}"
        else:
            next_attempt_at = now + wait
    elif state is State.QUEUED:
        next_attempt_at = now
    return {
        "state": state.value,
        "reason": reason,
        "next_attempt_at": next_attempt_at,
        "provider_reply": outcome.reply,
        "handed_at": outcome.handed_at,
        "accepted_at": now if state is State.ACCEPTED else None,
        "settled_at": None if state in (*WAITING, State.UNKNOWN) else now,
        "updated_at": now,
    }


def _settle_as(connection: Connection, which: Any, state: State, reason: str, now: datetime) -> int:
    settled_at = None if state is State.UNKNOWN else now
    values = {"state": state.value, "reason": reason, "next_attempt_at": None, "settled_at": settled_at}
    return connection.execute(messages.update().where(which).values(**values, updated_at=now)).rowcount
