"""
What is scarce is given out in the transaction that queues: room under caps on mail, and coupon codes.

Writers of the ledger go one after the other, so two plans that know nothing of each other cannot give it out twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Select, bindparam, delete, func, or_, select

from perennial.ledger.states import State
from perennial.ledger.store import Row, Store, insert_new
from perennial.ledger.tables import coupons, messages

SEED = "seed"  # the arm of copies to ourselves
_NOT_SENT = [state.value for state in (State.HELD, State.FAILED, State.EXPIRED, State.CANCELLED, State.BOUNCED)]
# What never left gives its code back.
_CALLED_OFF = [state.value for state in (State.HELD, State.EXPIRED, State.CANCELLED)]


@dataclass(frozen=True)
class Cap:
    """At most so many promotional mails to one person within so many days of sending, of one topic or (None) of all."""

    at_most: int
    every_days: int
    topic: str | None = None


def beyond_caps(connection: Connection, rows: Sequence[Row], caps: Sequence[Cap], send_day: date) -> set[str]:
    """
    The message ids of those new promotional `rows` for which no cap has room, counted in their order.

    Mail counts for the person and for the mailbox. Copies to ourselves neither count nor are capped.
    """
    judged = [row for row in rows if row["purpose"] == "promotional" and row["arm"] != SEED]
    if not judged or not caps:
        return set()
    received: dict[str, list[tuple[str, date, str]]] = defaultdict(list)  # person or mailbox → message, day, topic
    since = send_day - timedelta(days=max(cap.every_days for cap in caps))
    query = select(
        messages.c.message_id, messages.c.customer_id, messages.c.address_hash, messages.c.send_day, messages.c.topic
    ).where(
        messages.c.purpose == "promotional",
        messages.c.send_day > since,
        messages.c.state.not_in(_NOT_SENT),
        or_(messages.c.arm.is_(None), messages.c.arm != SEED),
        or_(
            messages.c.customer_id.in_([row["customer_id"] for row in judged]),
            messages.c.address_hash.in_([row["address_hash"] for row in judged]),
        ),
    )
    for found in connection.execute(query):
        for whose in (found.customer_id, found.address_hash):
            received[whose].append((found.message_id, found.send_day, found.topic))
    beyond = set()
    for row in judged:
        known = {*received[row["customer_id"]], *received[row["address_hash"]]}
        if any(_is_full(cap, known, row["topic"], send_day) for cap in caps):
            beyond.add(row["message_id"])
            continue
        for whose in (row["customer_id"], row["address_hash"]):
            received[whose].append((row["message_id"], send_day, row["topic"]))
    return beyond


def _is_full(cap: Cap, known: set[tuple[str, date, str]], topic: str, send_day: date) -> bool:
    if cap.topic not in (None, topic):
        return False
    counted = [
        message_id
        for message_id, day, of in known
        if abs(send_day - day) < timedelta(days=cap.every_days) and cap.topic in (None, of)
    ]
    return len(counted) >= cap.at_most


def assign_codes(connection: Connection, pool: str, message_ids: Sequence[str], now: datetime) -> dict[str, str]:
    """Give each of these new messages a code of its own while there are any: message_id → code."""
    given_back = coupons.update().where(coupons.c.pool == pool, coupons.c.message_id.in_(_called_off()))
    connection.execute(given_back.values(message_id=None, assigned_at=None))
    free = select(coupons.c.code).where(coupons.c.pool == pool, coupons.c.message_id.is_(None))
    codes = connection.scalars(free.order_by(coupons.c.code).limit(len(message_ids))).all()
    assigned = dict(zip(message_ids, codes, strict=False))
    if assigned:
        taken = coupons.update().where(coupons.c.code == bindparam("taken"))
        connection.execute(
            taken.values(message_id=bindparam("by"), assigned_at=now),
            [{"taken": code, "by": message_id} for message_id, code in assigned.items()],
        )
    return assigned


def void_free_codes(connection: Connection) -> int:
    """Forget the codes that nobody has: an old ledger that was put back does not know who got them since."""
    return connection.execute(delete(coupons).where(coupons.c.message_id.is_(None))).rowcount


def _called_off() -> Select[tuple[str]]:
    return select(messages.c.message_id).where(messages.c.state.in_(_CALLED_OFF), messages.c.handed_at.is_(None))


class Coupons(Store):
    """The ledger's part about codes that are good for one person once."""

    def load_coupons(self, pool: str, codes: Iterable[str], *, by: str) -> int:
        """Add codes to a pool; returns how many are new. One that any pool knows stays where it is."""
        now = self._now()
        rows = [{"code": code, "pool": pool, "loaded_at": now} for code in dict.fromkeys(codes)]
        with self._writing() as connection:
            added = len(insert_new(connection, coupons, rows))
            if added:
                self._audit(connection, "load_coupons", pool, by, codes=added)
        return added

    def free_coupons(self) -> dict[str, int]:
        """How many codes of each pool nobody has; pools that are used up are there with 0."""
        is_free = or_(coupons.c.message_id.is_(None), coupons.c.message_id.in_(_called_off()))
        query = select(coupons.c.pool, func.count().filter(is_free).label("codes")).group_by(coupons.c.pool)
        with self._reading() as connection:
            return {row.pool: row.codes for row in connection.execute(query.order_by(coupons.c.pool))}
