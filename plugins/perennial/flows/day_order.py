"""
Days go through the warehouse one after the other, also when Airflow lets their runs overlap.

A day is *opened* when its refresh begins and *closed* when its tables are complete. Before a newer day is opened, those
still open are finished: their tables are made, but nothing is planned or published for them any more. From then on the
older day's own tasks find it outdated and change nothing.
"""

import logging
from datetime import date, datetime

from perennial.foundation.days import Origin, Run, current_time
from perennial.foundation.settings import Settings
from perennial.ledger import open_ledger
from perennial.warehouse import Warehouse

log = logging.getLogger(__name__)

_DAYS = {"day": "date", "origin": "text", "known_at": "timestamptz", "is_closed": "boolean"}


def newest_day(warehouse: Warehouse) -> date | None:
    """The day that was opened last."""
    warehouse.create("state.days", _DAYS)
    newest = warehouse.value("select max(day) from state.days")
    return newest if isinstance(newest, date) else None


def is_outdated(run: Run, warehouse: Warehouse) -> bool:
    """Whether a newer day has been opened; says so in the log."""
    warehouse.create("state.days", _DAYS)
    newest = warehouse.value("select max(day) from state.days where day > $day", day=run.day)
    if newest is None:
        return False
    log.warning("Day %s is older than the warehouse's %s: its tables are left as they are.", run.day, newest)
    return True


def still_open(run: Run, warehouse: Warehouse) -> list[Run]:
    """Days before the run's that were opened and not closed, oldest first."""
    warehouse.create("state.days", _DAYS)
    rows = warehouse.query(
        "select day, origin from state.days where not is_closed and day < $day order by day", day=run.day
    )
    return [Run(row["day"], Origin(row["origin"])) for row in rows.to_pylist()]


def open_day(run: Run, warehouse: Warehouse, settings: Settings) -> None:
    """From now on the warehouse's tables are made as of this day, from the files loaded so far."""
    newest = warehouse.value("select max(landed_at) from raw.files")
    known_at = newest if isinstance(newest, datetime) else current_time(settings)
    with warehouse.transaction():
        warehouse.execute("delete from state.days where day = $day", day=run.day)
        warehouse.execute(
            "insert into state.days values ($day, $origin, $known_at, false)",
            day=run.day,
            origin=run.origin.value,
            known_at=known_at,
        )


def close_day(run: Run, warehouse: Warehouse, settings: Settings) -> None:
    """The day's tables are complete: the ledger keeps that it was run, and what was known then."""
    known_at = warehouse.value("select known_at from state.days where day = $day", day=run.day)
    if isinstance(known_at, datetime):
        with open_ledger(settings) as ledger:
            ledger.record_day(run, known_at)
    warehouse.execute("update state.days set is_closed = true where day = $day", day=run.day)
