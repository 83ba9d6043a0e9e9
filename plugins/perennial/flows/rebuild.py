"""
A warehouse made anew from what is precious: landing, ledger and rules.

Every day that was run is run again, oldest first, with the files that were known then. Nothing is planned or sent: the
decisions of those days are in the ledger. `replay` does so for a past day in a folder of its own.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime
from functools import partial
from pathlib import Path

from perennial.flows import campaigns, churn, ingest, publish, refresh
from perennial.flows.day_order import close_day, is_outdated
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
    """Build a second warehouse beside the present one, exchange them, publish; BadConfig when no day was ever run."""
    days = _days(settings)
    if not days:
        raise BadConfig("No day has been run yet: there is nothing to rebuild. Run one: perennial run.")
    alone = ExitStack()  # two rebuilds at once would exchange each other's half-made warehouses
    scratch = scratch_beside(settings)
    yield "begin", partial(_begin, scratch, alone, settings)
    for day, known_at in days:
        yield from _replay(day, known_at, scratch)
    yield "exchange", partial(_exchange, scratch, alone, settings)
    yield "publish", partial(_publish, days[-1][0], settings.home, settings)


def replay(day: date, into: Path, settings: Settings, *, with_history: bool = False) -> Iterator[Step]:
    """
    Make the tables of a day that was run once more, from what was known then, and publish them: all below `into`.

    Its warehouse is a DuckDB file, whatever the present one is; neither the present tables nor the publication changes.
    Histories hold that day alone, unless every recorded day before it is run too, `with_history`. The rule books and
    mappings are today's. Raises BadConfig for a day that was never run and for a folder that is not empty.
    """
    days = _days(settings)
    if day not in dict(days):
        newest = f"the newest is {days[-1][0]}" if days else "there is none"
        raise BadConfig(f"Day {day} cannot be replayed: it is no day that was run to its end ({newest}).")
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise BadConfig(f"{into} is not empty: name a new folder to replay {day} into.")
    into.mkdir(parents=True, exist_ok=True)
    beside = settings.model_copy(update={"warehouse": f"duckdb:///{into.resolve() / 'warehouse.duckdb'}"})
    for one, known_at in days:
        if one == day or (with_history and one < day):
            yield from _replay(one, known_at, beside)
    yield f"{day} publish", partial(_publish, day, into, beside)


def _publish(day: date, into: Path, beside: Settings) -> dict[str, object]:
    run = Run(day, Origin.REPLAY)
    with open_tables(run, beside) as (warehouse, materializer):
        return publish.write(warehouse, materializer.models, run, beside.model_copy(update={"home": into}))


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
    yield f"{day} marts", partial(marts, run, settings)


def marts(run: Run, settings: Settings) -> dict[str, int]:
    """Make the day's `marts` and note in the ledger that it is done; nothing is published. Not for an outdated day."""
    with open_tables(run, settings) as (warehouse, materializer):
        if is_outdated(run, warehouse):
            return {}
        rows = build_schema("marts", materializer)
        close_day(run, warehouse, settings)
        return rows
