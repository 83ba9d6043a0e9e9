"""
Take in what mail servers tell of mail that did not arrive or was complained of: bounce mailbox -> ledger.

**Reads:** the reports (DSN, ARF) in `PERENNIAL_BOUNCE_MAILBOX`, messages in the ledger, `rules/contact_policy.yaml`.
**Writes:** message events, message states and suppressions in the ledger; the mailbox stays as it is.
**If it fails:** what came waits in the mailbox; delivery goes on with the suppressions known so far.
**To rerun:** nothing to do, or trigger it: a report is taken in once.
"""

from airflow.sdk import dag, task

from perennial.orchestration import DAG_DEFAULTS, LEDGER, every_five_minutes, task_settings


@dag(**every_five_minutes(), tags=["delivery", "ledger"], doc_md=__doc__, **DAG_DEFAULTS)
def collect_events():
    @task(pool=LEDGER)
    def collect_reports() -> dict:
        from perennial.flows import reports

        with task_settings() as settings:
            return reports.collect_reports(settings)

    collect_reports()


collect_events()
