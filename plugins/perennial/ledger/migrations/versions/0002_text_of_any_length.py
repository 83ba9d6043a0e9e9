"""Text of any length. SQLite never minded it; on PostgreSQL one long customer reference refused a whole batch."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COLUMNS = {
    "audit_log": ["audit_id", "actor", "action", "subject"],
    "campaign_runs": ["campaign", "occurrence", "origin", "decisions_sha256", "outbox_sha256", "state"],
    "consents": ["content_hash", "address_hash", "customer_ref", "channel", "topic", "state", "method"],
    "day_runs": ["origin"],
    "leases": ["lease_id", "provider"],
    "ledger_state": ["ledger_id"],
    "message_events": ["event_id", "content_hash", "message_id", "kind", "provider"],
    "messages": [
        *("message_id", "campaign", "occurrence", "customer_id", "address", "address_hash", "locale", "arm", "variant"),
        *("purpose", "topic", "template_hash", "provider", "state", "lease_id"),
    ],
    "suppressions": ["suppression_id", "address_hash", "reason", "topic", "message_id"],
    "templates": ["template_hash", "campaign", "locale", "variant"],
}


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        return
    for table, columns in _COLUMNS.items():
        for column in columns:
            op.alter_column(table, column, type_=sa.String())  # rewrites no row
