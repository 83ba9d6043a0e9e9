"""
Take the day's new source files, check them and load them: `<home>/inbox` -> landing -> `raw.*`, `quarantine.rows`.

**Reads:** the files, databases and shops named by `include/sources/*.yaml`, contracts in `include/expectations/*.yaml`.
**Writes:** the landing, `raw.*`, `raw.files`, `raw.checks`, `quarantine.rows`.
**If it fails:** nothing after it runs; files already landed stay landed, a batch is loaded whole or not at all.
**To rerun:** clear the run, or trigger it with the day as partition key (add `{"origin": "live"}` to let it send).
"""

from airflow.sdk import dag, task

from perennial.assets import RAW
from perennial.flows.ingest import source_names
from perennial.foundation.settings import load_settings
from perennial.orchestration import DAG_DEFAULTS, LANDING, WAREHOUSE, every_day, source_settings, task_run


@dag(**every_day(), tags=["day chain", "sources", "raw"], doc_md=__doc__, **DAG_DEFAULTS)
def ingest_sources():
    @task(pool=LANDING, map_index_template="{{ source }}")
    def land(source: str) -> dict:
        from perennial.flows import ingest

        with task_run() as (run, settings):
            return ingest.land(source, run, source_settings(source, settings))

    @task(pool=WAREHOUSE, outlets=[RAW], trigger_rule="none_failed")
    def load() -> dict:
        from perennial.flows import ingest, rebuild

        with task_run() as (run, settings):
            rebuild.restore(run, settings)  # nothing to do unless the warehouse was lost
            return ingest.load(run, settings)

    land.expand(source=source_names(load_settings())) >> load()


ingest_sources()
