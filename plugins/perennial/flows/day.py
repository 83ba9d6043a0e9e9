"""A whole day without Airflow: the same flows in the same order."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial

from perennial.flows import campaigns, churn, delivery, ingest, publish, rebuild, refresh, reports, retention
from perennial.foundation.days import Origin, Run, run_of, yesterday
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

Step = tuple[str, Callable[[], object]]


def steps(run: Run, settings: Settings, *, publishes: bool = True) -> Iterator[Step]:
    """
    What a run of the day does: a name, and a call that returns its figures. Later steps need the ones before.

    A day that does not publish makes all its tables too: the next day's publication would replace its own at once.
    """
    for source in ingest.source_names(settings):
        yield f"land {source}", partial(ingest.land, source, run, settings)
    yield "restore", partial(rebuild.restore, run, settings)
    yield "load", partial(ingest.load, run, settings)
    for schema in refresh.SCHEMAS:
        yield f"refresh {schema}", partial(refresh.refresh, schema, run, settings)
    yield "score churn", partial(churn.score, run, settings)
    yield "collect reports", partial(reports.collect_reports, settings)
    yield "plan campaigns", partial(campaigns.plan, run, settings)
    for campaign in campaigns.due(run, settings):
        yield f"queue {campaign}", partial(campaigns.queue, campaign, run, settings)
    if publishes:
        yield "pseudonymise", partial(retention.pseudonymise, settings)
        yield "publish", partial(publish.publish, run, settings)
    else:
        yield "marts", partial(rebuild.marts, run, settings)
    if run.origin.may_queue:
        yield "deliver", partial(delivery.deliver, settings)


def runs_between(first: date, last: date, settings: Settings) -> list[Run]:
    """The runs of first..last: past days are backfilled, the clock's yesterday is run live (or demo)."""
    if last < first:
        raise BadConfig(f"The last day {last} is before the first day {first}.")
    newest = yesterday(settings)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [run_of(day, settings, None if day == newest else Origin.BACKFILL) for day in days]
