"""
The ledger's part about people's rights: what it holds of somebody, and taking them out of it.

Who was erased is known by salted hashes of what named them; the salt is the ledger's own id. Messages stay for the
figures, without address and content. There is a receipt for each store of each erasure.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, cast

from sqlalchemy import Connection, Table, bindparam, false, func, or_, select, text
from uuid6 import uuid7

from perennial.contracts.erased import Erased, salted
from perennial.foundation.errors import Retryable
from perennial.ledger.decisions import FrozenFile
from perennial.ledger.permissions import Permissions
from perennial.ledger.states import WAITING, State
from perennial.ledger.store import Row, insert_new, name_of, plain_errors
from perennial.ledger.tables import (
    campaign_runs,
    consents,
    erased_identifiers,
    erasures,
    ledger_state,
    message_events,
    messages,
    set_aside_events,
    subscriptions,
    suppressions,
    survey_answers,
)

_AT_ONCE = 500  # values in one statement
_ON_THEIR_WAY = (State.SENDING,)


class Erasures(Permissions):
    """The ledger's part about one person: all that is held, and taking it out."""

    def erased(self) -> Erased:
        """What is kept of everybody who was erased."""
        with self._reading() as connection:
            salt = _salt(connection)
            return Erased(salt, frozenset(connection.scalars(select(erased_identifiers.c.hash))))

    def erasure_of(self, identifiers: Collection[str]) -> str | None:
        """The erasure in which one of these identifiers (`ref:7`, `email:ada@example.com`) was erased."""
        with self._reading() as connection:
            return self._erasure_of(connection, identifiers)

    def _erasure_of(self, connection: Connection, identifiers: Collection[str]) -> str | None:
        salt = _salt(connection)
        hashes = [salted(identifier, salt) for identifier in identifiers]
        query = select(erased_identifiers.c.erasure_id).where(erased_identifiers.c.hash.in_(hashes))
        return connection.scalar(query.order_by(erased_identifiers.c.erasure_id).limit(1))

    def begin_erasure(self, identifiers: Collection[str], *, by: str, why: str) -> str:
        """
        From now on nobody named by these identifiers is taken in or written to; returns the erasure's id.

        An erasure that was begun goes on, with the identifiers that it did not know.
        """
        now = self._now()
        with self._writing() as connection:
            salt = _salt(connection)
            erasure_id = self._erasure_of(connection, identifiers) or str(uuid7())
            rows = [
                {"hash": salted(identifier, salt), "erasure_id": erasure_id, "erased_at": now}
                for identifier in sorted(identifiers)
            ]
            if insert_new(connection, erased_identifiers, rows):
                self._audit(connection, "erase", erasure_id, by, why=why)
        return erasure_id

    def record_receipt(self, erasure_id: str, store: str, details: Mapping[str, Any]) -> None:
        """Note what was done in a store; the first receipt of a store stands."""
        row = {"erasure_id": erasure_id, "store": store, "done_at": self._now(), "details": dict(details)}
        with self._writing() as connection:
            insert_new(connection, erasures, [row])

    def receipts(self, erasure_id: str) -> dict[str, Row]:
        """What was done in each store, in the order in which it was done."""
        query = select(erasures).where(erasures.c.erasure_id == erasure_id).order_by(erasures.c.done_at)
        with self._reading() as connection:
            return {row.store: {"done_at": row.done_at, **row.details} for row in connection.execute(query)}

    def held_about(
        self, customer_ids: Sequence[str], address_hashes: Sequence[str], words: Sequence[str] = ()
    ) -> dict[str, list[Row]]:
        """
        Every row about a person, by table, whole: with addresses, contents and proofs.

        `words`, in lower case, tell the person in events that nobody understood.
        """
        with self._reading() as connection:
            mine = _rows(connection, messages, _of_person(messages, customer_ids, address_hashes))
            ids = [row["message_id"] for row in mine]
            chunks = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
            events = [row for some in chunks for row in _rows(connection, message_events, _about(some, message_events))]
            answers = [
                row for some in chunks for row in _rows(connection, survey_answers, _about(some, survey_answers))
            ]
            said = _of_person(consents, customer_ids, address_hashes, "customer_ref")
            return {
                "messages": mine,
                "message_events": events,
                "survey_answers": answers,
                "consents": _rows(connection, consents, said),
                "suppressions": _rows(connection, suppressions, suppressions.c.address_hash.in_(address_hashes)),
                "subscriptions": _rows(connection, subscriptions, subscriptions.c.address_hash.in_(address_hashes)),
                "set_aside_events": _rows(connection, set_aside_events, _telling(words)),
            }

    def erase_person(
        self, customer_ids: Sequence[str], address_hashes: Sequence[str], words: Sequence[str] = ()
    ) -> dict[str, int]:
        """
        Take a person out of messages, events, answers, consents and suppressions; returns the rows changed by table.

        Events that nobody understood and that hold one of `words` (lower case) are deleted.
        Messages that wait are cancelled. `on_their_way` are left as they are until they are settled: then again.
        """
        now = self._now()
        with self._writing() as connection:
            salt = _salt(connection)
            person = _of_person(messages, customer_ids, address_hashes)
            mine = _rows(connection, messages, person)
            leaving = [row for row in mine if row["state"] not in _ON_THEIR_WAY]
            waiting = [row["message_id"] for row in leaving if row["state"] in WAITING]
            _update(connection, messages, [{"id": one, "state": State.CANCELLED.value} for one in waiting])
            _update(
                connection,
                messages,
                [
                    {
                        "id": row["message_id"],
                        "customer_id": pseudonym(row["customer_id"], salt),
                        "address": "",
                        "address_hash": salted(row["address_hash"], salt),
                        "context": None,
                        "reason": "erased" if row["reason"] or row["message_id"] in waiting else None,
                        "provider_reply": None,
                        "next_attempt_at": None,
                        "updated_at": now,
                    }
                    for row in leaving
                ],
            )
            told = [{"id": row["message_id"]} for row in leaving]
            if told:
                silent = message_events.update().where(message_events.c.message_id == bindparam("id"))
                connection.execute(silent.values(details={}), told)
                wordless = survey_answers.update().where(survey_answers.c.message_id == bindparam("id"))
                connection.execute(wordless.values(comment=None), told)
            said = _rows(connection, consents, _of_person(consents, customer_ids, address_hashes, "customer_ref"))
            _update(
                connection,
                consents,
                [
                    {
                        "id": row["content_hash"],
                        "content_hash": salted(row["content_hash"], salt),
                        "address_hash": salted(row["address_hash"] or "", salt),
                        "customer_ref": None,
                        "proof": None,
                        "appended_at": now,
                    }
                    for row in said
                ],
            )
            blocked = _rows(connection, suppressions, suppressions.c.address_hash.in_(address_hashes))
            _update(
                connection,
                suppressions,
                [
                    {
                        "id": row["suppression_id"],
                        "suppression_id": salted(row["suppression_id"], salt),
                        "address_hash": salted(row["address_hash"], salt),
                        "created_at": now,
                    }
                    for row in blocked
                ],
            )
            aside = connection.execute(set_aside_events.delete().where(_telling(words))).rowcount
            asked = _rows(connection, subscriptions, subscriptions.c.address_hash.in_(address_hashes))
            _update(
                connection,
                subscriptions,
                [
                    {"id": row["message_id"], "address_hash": salted(row["address_hash"], salt), "client": ""}
                    for row in asked
                ],
            )
        return {
            "messages": len(leaving),
            "cancelled": len(waiting),
            "on_their_way": len(mine) - len(leaving),
            "consents": len(said),
            "suppressions": len(blocked),
            "subscriptions": len(asked),
            "set_aside_events": aside,
        }

    def replace_frozen(
        self, campaign: str, send_day: date, *, decisions: FrozenFile | None, outbox: FrozenFile | None
    ) -> None:
        """Let these frozen files take the place of those of a campaign run."""
        values: dict[str, str] = {}
        for name, file in (("decisions", decisions), ("outbox", outbox)):
            if file:
                values |= {f"{name}_file": file.path, f"{name}_sha256": file.sha256}
        of_run = (campaign_runs.c.campaign == campaign, campaign_runs.c.send_day == send_day)
        with self._writing() as connection:
            connection.execute(campaign_runs.update().where(*of_run).values(**values))

    def compact(self) -> None:
        """
        Leave nothing of what was deleted in the database's files: SQLite keeps it in free pages otherwise.

        Raises Retryable while another process writes.
        """
        if self._engine.dialect.name == "postgresql":
            with plain_errors(self._engine), self._engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                    text(
                        "vacuum messages, message_events, set_aside_events, survey_answers, consents, suppressions,"
                        " subscriptions"
                    )
                )
            return
        with self._engine.connect() as connection:
            file = cast(sqlite3.Connection, connection.connection.driver_connection)  # outside of any transaction
            try:
                file.execute("vacuum")
                file.execute("pragma wal_checkpoint(truncate)")
            except sqlite3.OperationalError as error:
                raise Retryable(f"Ledger {name_of(self._engine)} cannot be compacted right now: {error}") from error


def pseudonym(customer_id: str, salt: str) -> str:
    """What stands for the number of somebody who was erased."""
    return f"erased-{salted(customer_id, salt)[:16]}"


def _salt(connection: Connection) -> str:
    salt: str = connection.scalars(select(ledger_state.c.ledger_id)).one()
    return salt


def _of_person(
    table: Table, customer_ids: Sequence[str], address_hashes: Sequence[str], number: str = "customer_id"
) -> Any:
    return or_(table.c[number].in_(customer_ids), table.c.address_hash.in_(address_hashes))


def _about(message_ids: Sequence[str], table: Table) -> Any:
    return table.c.message_id.in_(message_ids)


def _telling(words: Sequence[str]) -> Any:
    body = func.lower(set_aside_events.c.body)
    return or_(false(), *(body.contains(word, autoescape=True) for word in words))


def _rows(connection: Connection, table: Table, condition: Any) -> list[Row]:
    order = list(table.primary_key.columns)
    return [dict(row) for row in connection.execute(select(table).where(condition).order_by(*order)).mappings()]


def _update(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    rows = list(rows)
    if rows:
        (key,) = table.primary_key.columns
        connection.execute(table.update().where(key == bindparam("id")), rows)
