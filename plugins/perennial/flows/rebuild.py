"""
A warehouse made anew from what is precious: landing, ledger and rules.

Every day that was run is run again, oldest first, with the files that were known then. Nothing is planned or sent: the
decisions of those days are in the ledger.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime
from functools import partial

from perennial.flows import campaigns, churn, ingest, refresh
from perennial.flows.day_order import close_day
from perennial.flows.tables import build_schema, open_tables
from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import open_ledger
from perennial.warehouse import Progress, create_scratch, exchange, open_warehouse, scratch_beside, writer_lock

log = logging.getLogger(__name__)

Step = tuple[str, Callable[[], object]]


def restore(run: Run, settings: Settings) -> dict[str, int]:
    """
    Run again the days before the run's that the ledger knows and the warehouse does not; returns how many.

    None in everyday life. All of them after the warehouse was lost, some after an old copy was put back or a restore
    was killed.
    """
    with open_warehouse(settings) as warehouse:
        settled = Progress.read(warehouse)
    missing = [
        (day, known_at) for day, known_at in _days(settings) if day < run.day and (settled is None or day > settled.day)
    ]
    for day, known_at in missing:
        log.warning("The warehouse lacks day %s: running it again from the landing.", day)
        for _, step in _replay(day, known_at, settings):
            step()
    return {"restored days": len(missing)}


def steps(settings: Settings) -> Iterator[Step]:
    """Build a second warehouse beside the present one, then exchange them; BadConfig when no day was ever run."""
    days = _days(settings)
    if not days:
        raise BadConfig("No day has been run yet: there is nothing to rebuild. Run one: perennial run.")
    alone = ExitStack()  # two rebuilds at once would exchange each other's half-made warehouses
    scratch = scratch_beside(settings)
    yield "begin", partial(_begin, scratch, alone, settings)
    for day, known_at in days:
        yield from _replay(day, known_at, scratch)
    yield "exchange", partial(_exchange, scratch, alone, settings)


def _begin(scratch: Settings, alone: ExitStack, settings: Settings) -> dict[str, int]:
    alone.enter_context(writer_lock(settings.home / "rebuild" / "rebuild.lock", timeout=0))
    create_scratch(scratch, settings)
    return {}


def _exchange(scratch: Settings, alone: ExitStack, settings: Settings) -> dict[str, int]:
    with alone:
        exchange(scratch, settings)
    return {"warehouses exchanged": 1}


def _days(settings: Settings) -> list[tuple[date, datetime]]:
    """Days that were run, in order, each with the newest knowledge it was run with."""
    with open_ledger(settings) as ledger:
        newest: dict[date, datetime] = {}
        for found in ledger.day_runs():
            newest[found.day] = max(found.known_at, newest.get(found.day, found.known_at))
    return sorted(newest.items())


def _replay(day: date, known_at: datetime, settings: Settings) -> Iterator[Step]:
    run = Run(day, Origin.REPLAY)
    yield f"{day} load", partial(ingest.load, run, settings, known_at)
    for schema in refresh.SCHEMAS:
        yield f"{day} {schema}", partial(refresh.refresh, schema, run, settings)
    yield f"{day} churn", partial(churn.score, run, settings)
    yield f"{day} campaigns", partial(campaigns.plan, run, settings)
    yield f"{day} marts", partial(_marts, run, settings)


def _marts(run: Run, settings: Settings) -> dict[str, int]:
    with open_tables(run, settings) as (warehouse, materializer):
        rows = build_schema("marts", materializer)
        close_day(run, warehouse, settings)
        return rows
