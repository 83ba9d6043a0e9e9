"""
Work out who our customers are and what they do: `raw.*` -> `staging`, `core`, `customers`, `loyalty`, `segments`.

**Reads:** `raw.*`, the consents and messages of the ledger, the rule books in `include/rules/*.yaml`.
**Writes:** every table of the schemas in `flows.refresh.SCHEMAS`, one task a schema.
**If it fails:** yesterday's tables stay as they were; nobody is scored or mailed on half a day.
**To rerun:** clear the failed task. A table is replaced whole, or only for the days and customers touched.
"""

from airflow.sdk import chain, dag, task

from perennial.assets import RAW, SEGMENTS
from perennial.flows.refresh import SCHEMAS
from perennial.orchestration import DAG_DEFAULTS, WAREHOUSE, after, task_run


@dag(schedule=after(RAW), tags=["day chain", "customers", "loyalty", "segments"], doc_md=__doc__, **DAG_DEFAULTS)
def refresh_customers():
    @task(pool=WAREHOUSE)
    def refresh(schema: str) -> dict:
        from perennial.flows import refresh

        with task_run() as (run, settings):
            return refresh.refresh(schema, run, settings)

    *first, last = SCHEMAS
    chain(
        *(refresh.override(task_id=schema)(schema) for schema in first),
        refresh.override(task_id=last, outlets=[SEGMENTS])(last),
    )


refresh_customers()
