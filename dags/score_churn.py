"""
Say who is about to leave, and why we think so: `customers.profile` -> `churn.scores`.

**Reads:** `customers.profile`, `core.orders`, the rule book `include/rules/churn.yaml`.
**Writes:** `churn.scores` for the day.
**If it fails:** no campaign is planned for the day: better no mail than mail to the wrong people.
**To rerun:** clear the run. The day's scores are replaced.
"""

from airflow.sdk import dag, task

from perennial.assets import CHURN_SCORES, SEGMENTS
from perennial.orchestration import DAG_DEFAULTS, WAREHOUSE, after, task_run


@dag(schedule=after(SEGMENTS), tags=["day chain", "churn"], doc_md=__doc__, **DAG_DEFAULTS)
def score_churn():
    @task(pool=WAREHOUSE, outlets=[CHURN_SCORES])
    def score() -> dict:
        from perennial.flows import churn

        with task_run() as (run, settings):
            return churn.score(run, settings)

    score()


score_churn()
