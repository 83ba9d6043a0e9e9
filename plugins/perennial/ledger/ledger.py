"""The ledger as a whole: opening it, copying it into the warehouse, going on after an old one was put back, moving."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from sqlalchemy import bindparam, func, select

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger.answers import Answers
from perennial.ledger.bounces import Bounces
from perennial.ledger.control import Control
from perennial.ledger.decisions import Decisions
from perennial.ledger.erasures import Erasures
from perennial.ledger.mark import Mark, raise_mark
from perennial.ledger.messages import Messages
from perennial.ledger.outages import Outages
from perennial.ledger.permissions import NewEvent
from perennial.ledger.reservations import Coupons, void_free_codes
from perennial.ledger.schema import ensure_schema
from perennial.ledger.states import EventKind, State
from perennial.ledger.store import Row, connect, insert_new, lags, name_of, plain_errors
from perennial.ledger.subscriptions import Subscriptions
from perennial.ledger.tables import (
    audit_log,
    consents,
    leases,
    ledger_state,
    message_events,
    messages,
    metadata,
    suppressions,
    survey_answers,
)
from perennial.ledger.visits import Visits
from perennial.ledger.webhooks import Webhooks

log = logging.getLogger(__name__)

_MOVED_AT_ONCE = 5_000  # rows

# `at` is no name for a column everywhere.
_told = select(
    audit_log.c.audit_id, audit_log.c.at.label("told_at"), audit_log.c.action, audit_log.c.subject
).subquery()
# What the warehouse copies: table → key, the time that orders its changes, and what stays in the ledger.
_MIRRORED = {
    "messages": (messages, messages.c.message_id, messages.c.updated_at, {"address", "context"}),
    "message_events": (message_events, message_events.c.event_id, message_events.c.recorded_at, set[str]()),
    "consents": (consents, consents.c.content_hash, consents.c.appended_at, {"proof"}),
    "suppressions": (suppressions, suppressions.c.suppression_id, suppressions.c.created_at, set[str]()),
    "survey_answers": (survey_answers, survey_answers.c.answer_id, survey_answers.c.updated_at, {"comment"}),
    "audit_log": (_told, _told.c.audit_id, _told.c.told_at, set[str]()),
}
Mirrored = Literal["messages", "message_events", "consents", "suppressions", "survey_answers", "audit_log"]


class Ledger(
    Decisions, Control, Messages, Coupons, Outages, Webhooks, Visits, Answers, Subscriptions, Bounces, Erasures
):
    """Everything the ledger can do. Open it with `open_ledger`."""

    def require_schema(self) -> None:
        """See that the ledger can be reached and has this version's schema, as when it was opened."""
        ensure_schema(self._engine, self._settings)

    def changes(
        self,
        table: Mirrored,
        since: datetime | None,
        columns: Collection[str] | None = None,
        batch_rows: int = 5_000,
    ) -> Iterator[list[Row]]:
        """
        Rows that are new or changed at or after `since` (None: all), oldest change first, in batches.

        Transactions may commit out of order: start a little before the newest change you have, and upsert by key.
        Addresses, contexts, comments and proofs of consent stay in the ledger, whatever `columns` names (None: all).
        """
        source, key, changed_at, private = _MIRRORED[table]
        names = sorted(set(source.columns.keys() if columns is None else columns) - private)
        query = select(*(source.c[name] for name in names)).order_by(changed_at, key)
        if since is not None:
            query = query.where(changed_at >= since)
        with self._reading() as connection:
            for rows in connection.execution_options(yield_per=batch_rows).execute(query).partitions():
                yield [dict(zip(names, row, strict=True)) for row in rows]

    def reconcile(self, handed_off: Collection[tuple[str, bool]], *, by: str, restored: bool = False) -> dict[str, int]:
        """
        Make an old ledger that was put back fit to go on; returns what was done, all 0 for a ledger that is newest.

        Where the mark was lost too, on a new host, nothing shows that the ledger is old: `restored` says so.

        What the lost ledger did is not known here, so nothing may go out twice: every message that waits or was
        being sent becomes `unknown`, or `accepted` where the hand-off journals (`handed_off`: message_id, whether
        its acceptance was seen) show it. Messages that only the journals know are noted, so that queueing them
        again makes them `unknown` at once. The mailbox can then settle what it holds; by SMTP a person does.
        Coupon codes that nobody has are forgotten: somebody may have got them. Load new ones.
        """
        done = {"accepted": 0, "unknown": 0, "remembered": 0}
        now = self._now()
        accepted = {message_id for message_id, is_accepted in handed_off if is_accepted}
        with self._writing() as connection:
            newest = self._readable_mark()
            this = connection.execute(select(ledger_state)).one()
            if not (restored or lags(newest, this.ledger_id, this.revision)):
                return done
            in_doubt = messages.c.state.in_([State.QUEUED.value, State.RETRY.value, State.SENDING.value])
            doubted = set(connection.scalars(select(messages.c.message_id).where(in_doubt)))
            why = {"reason": "an old ledger was put back", "next_attempt_at": None, "updated_at": now}
            connection.execute(messages.update().where(in_doubt).values(state=State.UNKNOWN.value, **why))
            taken = [{"id": message_id} for message_id in sorted(doubted & accepted)]
            if taken:
                update = messages.update().where(messages.c.message_id == bindparam("id"))
                connection.execute(update.values(state=State.ACCEPTED.value, accepted_at=now, settled_at=now), taken)
            done["accepted"], done["unknown"] = len(taken), len(doubted) - len(taken)
            connection.execute(leases.update().where(leases.c.closed_at.is_(None)).values(closed_at=now))
            known = set(connection.scalars(select(messages.c.message_id)))
            lost = sorted({message_id for message_id, _ in handed_off} - known)
            rows = [self._event_row(_handed_off_event(message_id, now)) for message_id in lost]
            done["remembered"] = len(insert_new(connection, message_events, rows))
            revision = max(this.revision, newest.revision if newest else 0) + 1
            connection.execute(ledger_state.update().values(revision=revision))
            codes = void_free_codes(connection)
            self._audit(connection, "reconcile", "an old ledger was put back", by, **done, codes_forgotten=codes)
        self._mark_path.unlink(missing_ok=True)  # it may be of another ledger, or broken
        raise_mark(self._mark_path, Mark(this.ledger_id, revision))
        log.warning("Ledger reconciled: %(accepted)s accepted, %(unknown)s unknown, %(remembered)s remembered.", done)
        return done

    def move_to(self, other: "Ledger", *, by: str) -> dict[str, int]:
        """
        Copy everything into the empty ledger `other`, on any engine, while nobody writes; rows of each table.

        The copy keeps the identity and gets a newer revision: by the mark, this ledger is an old one from then on,
        which queues and sends nothing. Killed before its end it has moved nothing. Raises BadConfig where `other`
        holds anything or is this ledger.
        """
        if other._engine.url == self._engine.url:
            raise BadConfig(f"{name_of(other._engine)} is where the ledger is: name an empty database.")
        rows: dict[str, int] = {}
        with self._writing(newest=True) as source:
            this = source.execute(select(ledger_state)).one()
            with plain_errors(other._engine), other._engine.execution_options(writes=True).begin() as target:
                target.execute(ledger_state.delete())
                for table in metadata.sorted_tables:
                    if target.scalar(select(func.count()).select_from(table)):
                        raise BadConfig(
                            f"{name_of(other._engine)} holds {table.name} already: move into an empty database."
                        )
                    rows[table.name] = 0
                    found = source.execute(select(table), execution_options={"stream_results": True}).mappings()
                    for batch in found.partitions(_MOVED_AT_ONCE):
                        target.execute(table.insert(), [dict(row) for row in batch])
                        rows[table.name] += len(batch)
                target.execute(ledger_state.update().values(revision=this.revision + 1))
                other._audit(target, "move", f"from {name_of(self._engine)}", by, **rows)
        raise_mark(self._mark_path, Mark(this.ledger_id, this.revision + 1))
        return rows


def _handed_off_event(message_id: str, now: datetime) -> NewEvent:
    return NewEvent(f"handed_off:{message_id}", message_id, EventKind.HANDED_OFF, now, provider="journal")


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """
    Open the ledger, making or raising its schema where needed.

    Raises BadConfig for a bad URL or a ledger of a newer version, Permanent for a file that is no ledger,
    Retryable while it cannot be reached.
    """
    engine = connect(settings)
    try:
        ensure_schema(engine, settings)
        yield Ledger(engine, settings)
    finally:
        engine.dispose()
