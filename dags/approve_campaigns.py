"""
Ask a person before many mails go out: frozen decisions -> a question in Airflow -> outbox.

**Reads:** frozen decisions and outboxes in the ledger, `approval:` in `include/templates/*/campaign.yaml`.
**Writes:** the answer in the ledger and its audit log, and, after a yes, messages in the ledger.
**If it fails:** what waits is not sent; after 24 hours without an answer it is rejected.
**To rerun:** clear `waiting`: what is not decided is asked again. `perennial campaigns approve` does without Airflow.
"""

from airflow.sdk import dag, task

from perennial.assets import DECISIONS
from perennial.orchestration import DAG_DEFAULTS, LEDGER, after, approval_question, task_run


@dag(schedule=after(DECISIONS), tags=["campaigns", "ledger"], doc_md=__doc__, **DAG_DEFAULTS)
def approve_campaigns():
    @task(pool=LEDGER)
    def waiting() -> list[dict]:
        from perennial.flows import approval

        with task_run() as (run, settings):
            return [request.model_dump(mode="json") for request in approval.waiting(settings, run.send_day)]

    @task(pool=LEDGER, trigger_rule="none_failed")  # on most days nothing waits, and ask is skipped
    def decide(asked: list[dict], answers: list[dict]) -> list[dict]:
        from perennial.flows import approval

        with task_run() as (run, settings):
            return [
                approval.decide(
                    request["campaign"],
                    run.send_day,
                    settings,
                    approved=answer["chosen_options"] == ["Approve"],
                    by=(answer["responded_by_user"] or {"name": "nobody, in time"})["name"],
                    why="answered in Airflow",
                    outbox_sha256=request["outbox_sha256"],
                )
                for request, answer in zip(asked, answers or [], strict=True)
            ]

    asked = waiting()
    decide(asked, approval_question("ask", asked).output)


approve_campaigns()
