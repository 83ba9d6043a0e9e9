"""From accepted rows to what is known of every customer: staging, core, customers, loyalty, segments."""

import logging

from perennial.contracts import load_contracts
from perennial.flows.mirror import mirror_ledger
from perennial.flows.raw_tables import create_raw_tables
from perennial.flows.tables import build_schema, open_tables, rule_tables
from perennial.foundation.days import Run
from perennial.foundation.settings import Settings
from perennial.warehouse import Materializer, Warehouse

log = logging.getLogger(__name__)

SCHEMAS = ("staging", "core", "customers", "loyalty", "segments")


def refresh(schema: str, run: Run, settings: Settings) -> dict[str, int]:
    """
    Bring the tables of `schema` up to date, as of the end of the run's day; rows written of each table.

    A day older than the newest one that was refreshed changes nothing: the tables stay at the newest day, and what
    came in meanwhile is taken up by its next run.
    """
    with open_tables(run, settings) as (warehouse, materializer):
        if is_outdated(run, materializer):
            return {}
        if schema == SCHEMAS[0]:
            prepare(warehouse, materializer, settings)
        rows = build_schema(schema, materializer)
        if schema == SCHEMAS[-1]:
            materializer.settle()
        return rows


def is_outdated(run: Run, materializer: Materializer) -> bool:
    """Whether a newer day has been refreshed; says so in the log."""
    settled = materializer.settled
    if settled is None or settled.day <= run.day:
        return False
    log.warning("Day %s is older than the warehouse's %s: its tables are left as they are.", run.day, settled.day)
    return True


def prepare(warehouse: Warehouse, materializer: Materializer, settings: Settings) -> None:
    """Everything that models read and that is not made by models: raw tables, rule books, copies of the ledger."""
    create_raw_tables(warehouse, load_contracts(settings).values())
    for table, rows in rule_tables(settings).items():
        materializer.load_rules(table, rows)
    mirror_ledger(warehouse, settings)
    materializer.seed()
