"""Who is about to be lost."""

from perennial.flows.day_order import is_outdated
from perennial.flows.tables import build_schema, open_tables
from perennial.foundation.days import Run
from perennial.foundation.settings import Settings


def score(run: Run, settings: Settings) -> dict[str, int]:
    """Score every buyer's silence as of the end of the run's day; rows of each table, none for an outdated day."""
    with open_tables(run, settings) as (warehouse, materializer):
        return {} if is_outdated(run, warehouse) else build_schema("churn", materializer)
