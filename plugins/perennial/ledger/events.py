"""States follow events, in whatever order the two become known."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, literal, select

from perennial.ledger.states import SETTLED_BY_EVENT, State
from perennial.ledger.store import among, batched
from perennial.ledger.tables import Moment, message_events, messages


def settle_by_events(connection: Connection, message_ids: Sequence[str], now: datetime) -> None:
    """
    Move these messages to where people's and providers' events about them say they are.

    Called for new events, and for messages whose state has just been learnt: an event may come while its message is
    still `sending`.
    """
    for ids in batched(message_ids):
        told = select(message_events.c.kind, message_events.c.message_id).where(
            among(connection, message_events.c.message_id, ids), message_events.c.machine.is_(False)
        )
        of_kind = defaultdict(set)
        for kind, message_id in connection.execute(told):
            of_kind[kind].add(message_id)
        for kind, (state, movable) in SETTLED_BY_EVENT.items():
            if not of_kind[kind]:
                continue
            is_movable = messages.c.state.in_([old.value for old in movable])
            update = messages.update().where(among(connection, messages.c.message_id, of_kind[kind]), is_movable)
            values: dict[str, object] = {"state": state.value, "settled_at": now, "updated_at": now}
            if state is State.FAILED:
                values["reason"] = "dropped by the provider"
            else:  # whatever came of it, it was taken
                values["accepted_at"] = func.coalesce(messages.c.accepted_at, literal(now, Moment))
            connection.execute(update.values(values))
