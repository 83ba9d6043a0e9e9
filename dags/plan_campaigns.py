"""
Decide who hears from us and why: profiles, segments and scores + the contact policy -> decisions -> outbox.

**Reads:** `campaigns.audience`, `campaigns.occasions`, `include/templates/*`, `include/rules/*`, the ledger.
**Writes:** one frozen decision for every customer considered, and, for a live run only, messages in the ledger.
**If it fails:** nobody new is mailed; what is frozen stays as decided, what is queued is still delivered.
**To rerun:** clear the failed task. A frozen campaign run is returned as it is; queueing twice adds nothing.
"""

from airflow.sdk import dag, task

from perennial.assets import CHURN_SCORES, DECISIONS
from perennial.orchestration import DAG_DEFAULTS, LEDGER, WAREHOUSE, after, task_run


@dag(schedule=after(CHURN_SCORES), tags=["day chain", "campaigns", "ledger"], doc_md=__doc__, **DAG_DEFAULTS)
def plan_campaigns():
    @task(pool=WAREHOUSE)
    def plan() -> list[str]:
        from perennial.flows import campaigns

        with task_run() as (run, settings):
            campaigns.plan(run, settings)
            return campaigns.due(run, settings)

    @task(pool=LEDGER, map_index_template="{{ campaign }}")
    def queue(campaign: str) -> dict:
        from perennial.flows import campaigns

        with task_run() as (run, settings):
            return {campaign: campaigns.queue(campaign, run, settings)}

    @task(pool=LEDGER, outlets=[DECISIONS], trigger_rule="none_failed")  # on a day without campaigns queue is skipped
    def gather(queued: list[dict]) -> dict:
        with task_run():
            return {campaign: figures for one in queued[:] for campaign, figures in one.items()}

    gather(queue.expand(campaign=plan()))


plan_campaigns()
