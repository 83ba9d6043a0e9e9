"""
Take in what mail servers and providers tell of our mail: bounce mailbox, Mailgun's events -> ledger.

**Reads:** the reports (DSN, ARF) in `PERENNIAL_BOUNCE_MAILBOX`; Mailgun, if `PERENNIAL_MAILGUN_EVENTS_KEY` is set;
messages in the ledger, `rules/contact_policy.yaml`.
**Writes:** message events, message states and suppressions in the ledger; the mailbox stays as it is.
**If it fails:** what came waits in the mailbox, and Mailgun is asked for it the next time; delivery goes on with the
suppressions known so far.
**To rerun:** nothing to do, or trigger it: what was told is taken in once.
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

    @task(pool=LEDGER)
    def poll_mailgun() -> dict:
        from perennial.flows import webhooks

        with task_settings() as settings:
            return webhooks.poll_mailgun(settings)

    collect_reports()
    poll_mailgun()


collect_events()
