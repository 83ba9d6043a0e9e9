"""The demo company lives: its shop is built, its days go by, its customers answer the mail they got."""

import logging
from datetime import date, datetime, time, timedelta
from typing import Any

from perennial.demo import (
    ANSWER_DAYS,
    DEFAULT_SEED,
    Activity,
    Mail,
    build_shop,
    react,
    read_shop,
    truth_dir,
    write_days,
    write_reactions,
)
from perennial.flows.listening import record_events
from perennial.foundation.days import yesterday
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings, load_settings
from perennial.ledger import EventKind, NewEvent, open_ledger

log = logging.getLogger(__name__)

_EVENING = time(23)  # the demo clock: after the day's send times from Shanghai to Los Angeles


def build(
    settings: Settings,
    customers: int = 2_000,
    start: date = date(2024, 8, 1),
    end: date = date(2026, 1, 31),
    seed: int = DEFAULT_SEED,
    activity: Activity | None = None,
) -> dict[str, Any]:
    """
    Write the shop's files of start..end into the inbox and set the demo clock to the day after.

    Raises BadConfig where the inbox holds files of somebody else.
    """
    if _is_somebody_elses(settings):
        raise BadConfig(f"{settings.inbox_dir} holds files already: a demo shop needs an inbox of its own.")
    truth_dir(settings).mkdir(parents=True, exist_ok=True)  # from now on the inbox is the demo's, however this ends
    _set_clock(settings, end + timedelta(days=1))
    return build_shop(settings, customers, start, end, seed, activity=activity)


def is_wanted(settings: Settings) -> bool:
    """Whether this home has neither a whole demo shop nor files of somebody else."""
    try:
        read_shop(settings)
    except BadConfig:
        return not _is_somebody_elses(settings)
    return False


def _is_somebody_elses(settings: Settings) -> bool:
    return not truth_dir(settings).exists() and settings.inbox_dir.exists() and any(settings.inbox_dir.iterdir())


def advance(settings: Settings) -> Settings:
    """
    Let one day of the shop go by: its files arrive, its customers answer recent mail, the clock moves on.

    Returns the settings of the new day. Killed half-way and called again, it does the same.
    """
    today = yesterday(settings) + timedelta(days=1)
    write_days(settings, today, today)
    answer_mail(settings, today)
    _set_clock(settings, today + timedelta(days=1))
    return load_settings(**settings.model_dump(exclude={"now"}, exclude_unset=True))


def answer_mail(settings: Settings, day: date) -> dict[str, int]:
    """Let the simulated customers do what they do on `day` about mail accepted lately; figures of what they did."""
    with open_ledger(settings) as ledger:
        mails = [
            Mail(row["message_id"], row["customer_id"], row["campaign"], row["variant"] or "a", row["accepted_at"])
            for row in ledger.accepted_since(datetime.combine(day - timedelta(days=ANSWER_DAYS), time(), settings.zone))
        ]
    reactions = react(settings, mails, day)
    events = [
        NewEvent(
            event_id=event.event_id,
            message_id=event.message_id,
            kind=EventKind(event.kind),
            occurred_at=event.occurred_at,
            provider="demo",
            machine=event.machine,
        )
        for event in reactions.events
    ]
    recorded = record_events(events, settings)
    with open_ledger(settings) as ledger:
        for one in reactions.unsubscribes:
            ledger.unsubscribe(one.message_id, method="demo", proof={"occurred_at": one.occurred_at.isoformat()})
    return {"events": recorded, "unsubscribed": len(reactions.unsubscribes), **write_reactions(settings, reactions)}


def _set_clock(settings: Settings, day: date) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    new = settings.demo_clock.with_suffix(".new")
    new.write_text(datetime.combine(day, _EVENING, settings.zone).isoformat())
    new.replace(settings.demo_clock)
