"""
Publish what people and BI tools read: warehouse + ledger -> `marts.*` -> snapshot, Parquet, data dictionary, report.

Before that, landed files that are older than `include/rules/intake.yaml` allows are pseudonymised.

**Reads:** every schema of the warehouse, and what the ledger says about messages.
**Writes:** `marts.*` and `<home>/published`, swapped in as a whole.
**If it fails:** readers keep yesterday's snapshot, which says its day; mail is not affected. If only files cannot be
pseudonymised, all is published and the next day tries again.
**To rerun:** clear the run. The snapshot is replaced whole.
"""

from airflow.sdk import dag, task

from perennial.assets import DECISIONS, MARTS
from perennial.orchestration import DAG_DEFAULTS, WAREHOUSE, after, task_run


@dag(schedule=after(DECISIONS), tags=["day chain", "marts"], doc_md=__doc__, **DAG_DEFAULTS)
def publish_metrics():
    @task(pool=WAREHOUSE)
    def pseudonymise() -> dict:
        from perennial.flows import retention

        with task_run() as (_, settings):
            return retention.pseudonymise(settings)

    @task(pool=WAREHOUSE, outlets=[MARTS], trigger_rule="all_done")
    def publish() -> dict:
        from perennial.flows import publish

        with task_run() as (run, settings):
            return publish.publish(run, settings)

    pseudonymise() >> publish()


publish_metrics()
