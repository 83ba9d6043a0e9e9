"""The outbox: queue, claim, settle. Every message obeys only the lease it names."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, Select, and_, bindparam, false, func, select

from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import Permanent
from perennial.ledger.control import EVERYTHING, is_called_off, may_queue, paused_subjects
from perennial.ledger.decisions import NewTemplate
from perennial.ledger.events import settle_by_events
from perennial.ledger.permissions import address_hash
from perennial.ledger.reservations import SEED, Cap, assign_codes, beyond_caps
from perennial.ledger.states import WAITING, EventKind, State, backoff
from perennial.ledger.store import Row, Store, insert_new
from perennial.ledger.tables import campaign_runs, leases, message_events, messages, templates

_NAMESPACE = UUID("6f1d1f0e-8a44-5d0c-9d55-5f1c62d0a7b1")  # ours; changing it would let every message go out again
_QUEUE_BATCH = 500
_SETTLES_UNKNOWN = {State.ACCEPTED, State.FAILED, State.CANCELLED, State.QUEUED}
_PRESUMED = "presumed: handed over, and nothing came back in 72 hours"
PRESUMED_AFTER = timedelta(hours=72)
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
    """One message of a claim."""

    message_id: str
    campaign: str
    customer_id: str
    address: str
    locale: str
    purpose: str
    topic: str
    context: dict[str, Any]
    template_hash: str


@dataclass(frozen=True)
class Claim:
    """A batch of messages that belongs to the holder of the lease, and to nobody else, with its templates by hash."""

    lease_id: str
    messages: list[Claimed]
    templates: dict[str, NewTemplate]


@dataclass(frozen=True)
class OpenLease:
    """A claim whose outcome nobody has recorded yet."""

    lease_id: str
    is_expired: bool
    message_ids: list[str]


class Messages(Store):
    """The ledger's part about messages on their way."""

    def queue(
        self,
        run: Run,
        campaign: str,
        provider: str,
        rows: Iterable[NewMessage],
        *,
        caps: Sequence[Cap] = (),
        coupon_pool: str | None = None,
    ) -> int:
        """
        Queue the messages of a frozen campaign run for `provider`; returns how many were new.

        Queueing again adds nothing, and one address gets one copy. Committed in batches: killed half-way, queue again.
        A run that waits for an approval, was rejected or called off adds nothing.
        What another plan has used up since is not sent: beyond `caps`, or without a code of `coupon_pool`, a message is
        `held` (`frequency_cap`, `no_coupon`).
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
                if not _may_queue(connection, campaign, run.send_day):
                    return added
                added += self._queue_batch(connection, run, campaign, provider, batch, caps, coupon_pool)
        with self._writing(newest=True) as connection:
            if _may_queue(connection, campaign, run.send_day):
                key = (campaign_runs.c.campaign == campaign, campaign_runs.c.send_day == run.send_day)
                fresh = campaign_runs.update().where(*key, campaign_runs.c.state == "frozen")
                connection.execute(fresh.values(state="queued", queued_at=self._now()))
        return added

    def _queue_batch(
        self,
        connection: Connection,
        run: Run,
        campaign: str,
        provider: str,
        batch: Sequence[NewMessage],
        caps: Sequence[Cap],
        coupon_pool: str | None,
    ) -> int:
        now = self._now()
        ids = [message_id_of(campaign, row.occurrence, row.customer_id) for row in batch]
        gone = _handed_off(connection, ids)
        known = set(connection.scalars(select(messages.c.message_id).where(messages.c.message_id.in_(ids))))
        rows: list[Row] = [
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
            if message_id not in known
        ]
        beyond = beyond_caps(connection, [row for row in rows if row["message_id"] not in gone], caps, run.send_day)
        held = {"state": State.HELD.value, "reason": "frequency_cap", "next_attempt_at": None, "settled_at": now}
        rows = [{**row, "settled_at": None, **(held if row["message_id"] in beyond else {})} for row in rows]
        new = insert_new(connection, messages, rows)
        if coupon_pool is not None:
            self._give_codes(connection, coupon_pool, [row for row in rows if row["message_id"] in {*new} - beyond])
        return len(new)

    def _give_codes(self, connection: Connection, pool: str, rows: Sequence[Row]) -> None:
        """Each mail its own code; copies to ourselves keep the sample's, and who comes too late gets no mail."""
        now = self._now()
        wanting = {row["message_id"]: row for row in rows if row["arm"] != SEED}
        codes = assign_codes(connection, pool, list(wanting), now)
        update = messages.update().where(messages.c.message_id == bindparam("id"))
        if codes:
            contexts = [
                {"id": one, "with_code": wanting[one]["context"] | {"coupon_code": codes[one]}} for one in codes
            ]
            connection.execute(update.values(context=bindparam("with_code", type_=messages.c.context.type)), contexts)
        without = messages.c.message_id.in_([one for one in wanting if one not in codes])
        _settle_as(connection, and_(without, messages.c.state == State.QUEUED.value), State.HELD, "no_coupon", now)

    def claim(
        self, lease_id: str, provider: str, limit: int, lease_for: timedelta, *, per_minute: int | None = None
    ) -> Claim | None:
        """
        Take up to `limit` due messages of `provider` under a new lease; None when nothing is due.

        Two claims never share a message, and none takes what is paused. With `per_minute`, all claims of one minute of
        the clock together take no more than that: None when it is used up. Due messages past their time expire here.
        Raises Permanent on an old ledger.
        """
        now = self._now()
        if not self.has_due(provider):
            return None
        with self._writing(newest=True) as connection:
            if per_minute is not None:
                limit = min(limit, per_minute - _claimed_this_minute(connection, now))
            paused = paused_subjects(connection)
            rows: list[Any] = []
            while not rows:
                due = _next_due(connection, provider, limit, now, paused) if limit > 0 else []
                if not due:
                    return None
                rows = [row for row in due if row.expires_at > now]
                gone = messages.c.message_id.in_([row.message_id for row in due if row.expires_at <= now])
                if len(rows) < len(due):
                    _settle_as(connection, gone, State.EXPIRED, "not sent in time", now)
            lease = {"lease_id": lease_id, "provider": provider, "claimed_at": now, "expires_at": now + lease_for}
            connection.execute(leases.insert().values(**lease, messages=len(rows)))
            taken = messages.update().where(messages.c.message_id.in_([row.message_id for row in rows]))
            connection.execute(
                taken.values(
                    state=State.SENDING.value, lease_id=lease_id, attempts=messages.c.attempts + 1, updated_at=now
                )
            )
            found = _templates(connection, {row.template_hash for row in rows})
        return Claim(lease_id, [Claimed(*row[: len(_CLAIMED)]) for row in rows], found)

    def has_due(self, provider: str) -> bool:
        """Whether anything waits whose time has come. Takes no write lock: it is asked every minute, mostly in vain."""
        now = self._now()
        with self._reading() as connection:
            paused = paused_subjects(connection)
            return any(connection.execute(_due(provider, state, now, paused).limit(1)).first() for state in WAITING)

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
            _call_off(connection, messages.c.lease_id == lease_id, now)
            closing = leases.update().where(leases.c.lease_id == lease_id, leases.c.closed_at.is_(None))
            connection.execute(closing.values(closed_at=now))
            settle_by_events(connection, list(attempts), now)
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
        """
        Messages in state `unknown` sent by `provider`: message_id → the lease under which they went.

        Those of people who were erased stay unknown: nothing can be looked up, or sent again.
        """
        query = select(messages.c.message_id, messages.c.lease_id).where(
            messages.c.provider == provider, messages.c.state == State.UNKNOWN.value, messages.c.address != ""
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
            _call_off(connection, messages.c.message_id.in_([outcome.message_id for outcome in outcomes]), now)
            if settled:
                self._audit(connection, "settle_unknown", f"{settled} messages", by, why=why)
        return settled

    def presume_accepted(self, provider: str) -> int:
        """
        Take as accepted what was handed over and has been unknown for PRESUMED_AFTER, and say so as its reason.

        A bounce still moves it. What nobody knows to have been handed over stays unknown. Returns how many.
        """
        now = self._now()
        unknown = and_(messages.c.provider == provider, messages.c.state == State.UNKNOWN.value)
        presumable = and_(unknown, messages.c.handed_at <= now - PRESUMED_AFTER)
        with self._reading() as connection:
            if connection.scalar(select(messages.c.message_id).where(presumable).limit(1)) is None:
                return 0
        with self._writing(newest=True) as connection:
            presumed = _settle_as(
                connection, presumable, State.ACCEPTED, _PRESUMED, now, accepted_at=messages.c.handed_at
            )
            self._audit(connection, "presume_accepted", f"{presumed} messages", provider)
        return presumed

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

    def unknown_messages(self) -> list[Row]:
        """Messages in state `unknown`, without address and context."""
        return self._message_rows(messages.c.state == State.UNKNOWN.value)

    def messages_of(self, *customer_ids: str) -> list[Row]:
        """All messages of a customer, under all their numbers, newest first, without address and context."""
        return self._message_rows(messages.c.customer_id.in_(customer_ids))

    def message(self, message_id: str) -> Row | None:
        """One message, without address and context."""
        rows = self._message_rows(messages.c.message_id == message_id)
        return rows[0] if rows else None

    def mail(self, message_id: str) -> tuple[Claimed, NewTemplate] | None:
        """One message as it was to be sent; None where its content is kept no more, or never was."""
        query = select(*_CLAIMED).where(messages.c.message_id == message_id, messages.c.context.is_not(None))
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            return Claimed(*row), _templates(connection, {row.template_hash})[row.template_hash]

    def _message_rows(self, which: Any) -> list[Row]:
        columns = [column for column in messages.columns if column.name not in ("address", "context")]
        query = select(*columns).where(which).order_by(messages.c.queued_at.desc(), messages.c.message_id)
        with self._reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


def _may_queue(connection: Connection, campaign: str, send_day: date) -> bool:
    found = may_queue(connection, campaign, send_day)
    if found is None:
        raise Permanent(f"The decisions of {campaign} for {send_day} are not frozen: plan first, then queue.")
    return found


def _handed_off(connection: Connection, ids: Sequence[str]) -> set[str]:
    query = select(message_events.c.message_id).where(
        message_events.c.message_id.in_(ids), message_events.c.kind == EventKind.HANDED_OFF.value
    )
    return set(connection.scalars(query))


_CLAIMED = tuple(messages.c[name] for name in Claimed.__dataclass_fields__)


def _due(provider: str, state: State, now: datetime, paused: Collection[str]) -> Select[Any]:
    """What is due in one waiting state, oldest first: with its index, no claim sorts all that waits."""
    is_free = false() if EVERYTHING in paused else messages.c.campaign.not_in(paused)
    return (
        select(*_CLAIMED, messages.c.next_attempt_at, messages.c.expires_at)
        .where(messages.c.provider == provider, messages.c.state == state.value, messages.c.next_attempt_at <= now)
        .where(is_free)
        .order_by(messages.c.next_attempt_at, messages.c.message_id)
    )


def _next_due(connection: Connection, provider: str, limit: int, now: datetime, paused: Collection[str]) -> list[Any]:
    found = [row for state in WAITING for row in connection.execute(_due(provider, state, now, paused).limit(limit))]
    return sorted(found, key=lambda row: (row.next_attempt_at, row.message_id))[:limit]


def _claimed_this_minute(connection: Connection, now: datetime) -> int:
    minute = now.replace(second=0, microsecond=0)
    within = and_(leases.c.claimed_at >= minute, leases.c.claimed_at < minute + timedelta(minutes=1))
    return connection.scalar(select(func.coalesce(func.sum(leases.c.messages), 0)).where(within)) or 0


def _templates(connection: Connection, hashes: Collection[str]) -> dict[str, NewTemplate]:
    names = NewTemplate.__dataclass_fields__
    query = select(templates.c.template_hash, *(templates.c[name] for name in names))
    rows = connection.execute(query.where(templates.c.template_hash.in_(hashes)))
    return {row.template_hash: NewTemplate(*row[1:]) for row in rows}


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


def _call_off(connection: Connection, which: Any, now: datetime) -> None:
    """What would be tried again although its campaign was cancelled meanwhile, is not."""
    waiting = messages.c.state.in_([state.value for state in WAITING])
    _settle_as(connection, and_(which, waiting, is_called_off()), State.CANCELLED, "called off when tried", now)


def _settle_as(connection: Connection, which: Any, state: State, reason: str, now: datetime, **others: Any) -> int:
    settled_at = None if state is State.UNKNOWN else now
    values = {"state": state.value, "reason": reason, "next_attempt_at": None, "settled_at": settled_at, **others}
    return connection.execute(messages.update().where(which).values(**values, updated_at=now)).rowcount
