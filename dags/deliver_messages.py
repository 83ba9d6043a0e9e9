"""
Hand queued messages to the mail server: ledger -> SMTP -> ledger. It never touches the warehouse.

**Reads:** queued messages, suppressions and consents in the ledger, `include/templates/*`.
**Writes:** message states in the ledger, the hand-off journal beside it, and the mail itself.
**If it fails:** messages stay queued and the next minute tries again; a message that may have left is never resent.
**To rerun:** nothing to do, or trigger it; a lease keeps two runs, and the workers of one, apart.
"""

from airflow.sdk import dag, task

from perennial.foundation.settings import load_settings
from perennial.orchestration import DAG_DEFAULTS, DELIVERY, every_minute, task_settings


@dag(**every_minute(), tags=["delivery", "ledger"], doc_md=__doc__, **DAG_DEFAULTS)
def deliver_messages():
    @task(pool=DELIVERY, map_index_template="{{ worker }}")
    def deliver(worker: int) -> dict:  # noqa: ARG001 - only tells the copies apart
        from perennial.flows import delivery

        with task_settings() as settings:
            return delivery.deliver(settings)

    deliver.expand(worker=list(range(1, load_settings().delivery_workers + 1)))


deliver_messages()
