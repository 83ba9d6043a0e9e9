"""From accepted rows to what is known of every customer: staging, core, customers, loyalty, segments."""

import logging

from perennial.contracts import load_contracts
from perennial.flows.consents import append_consents
from perennial.flows.day_order import close_day, is_outdated, open_day, still_open
from perennial.flows.mirror import mirror_ledger
from perennial.flows.raw_tables import create_raw_tables
from perennial.flows.tables import SCHEMAS as ALL_SCHEMAS
from perennial.flows.tables import build_schema, open_tables, rule_tables
from perennial.foundation.days import Run
from perennial.foundation.settings import Settings
from perennial.warehouse import Materializer, Warehouse, open_warehouse

log = logging.getLogger(__name__)

SCHEMAS = ("staging", "core", "customers", "loyalty", "segments")


def refresh(schema: str, run: Run, settings: Settings) -> dict[str, int]:
    """
    Bring the tables of `schema` up to date, as of the end of the run's day; rows written of each table.

    A day older than the newest one that was begun changes nothing: the tables stay at the newest day, and what came in
    meanwhile is taken up by its next run.
    """
    if schema == SCHEMAS[0]:
        _finish_open_days(run, settings)
    with open_tables(run, settings) as (warehouse, materializer):
        if is_outdated(run, warehouse):
            return {}
        if schema == SCHEMAS[0]:
            prepare(run, warehouse, materializer, settings)
        rows = build_schema(schema, materializer)
        if schema == "core":  # whose the statements are is known now
            rows["ledger.consents"] = append_consents(warehouse, settings)
        if schema == SCHEMAS[-1]:
            materializer.settle()
        return rows


def _finish_open_days(run: Run, settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        unfinished = still_open(run, warehouse)
    for late in unfinished:
        log.warning("Day %s is overtaken by %s: its tables are finished first, its mails are not.", late.day, run.day)
        with open_tables(late, settings) as (warehouse, materializer):
            prepare(late, warehouse, materializer, settings)
            for schema in ALL_SCHEMAS:
                build_schema(schema, materializer)
            materializer.settle()
            close_day(late, warehouse, settings)


def prepare(run: Run, warehouse: Warehouse, materializer: Materializer, settings: Settings) -> None:
    """Everything that models read and that is not made by models: raw tables, rule books, copies of the ledger."""
    create_raw_tables(warehouse, load_contracts(settings).values())
    open_day(run, warehouse, settings)
    for table, rows in rule_tables(run, settings).items():
        materializer.load_rules(table, rows)
    mirror_ledger(warehouse, settings)
    materializer.seed()
