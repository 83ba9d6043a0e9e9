"""A claim reads its messages in the order of an index, and says how many it took: the rate limit adds them up."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("leases", sa.Column("messages", sa.Integer()))
    op.create_index("ix_leases_claimed_at", "leases", ["claimed_at"])
    op.drop_index("ix_messages_state_next_attempt_at", "messages")
    op.create_index("ix_messages_due", "messages", ["provider", "state", "next_attempt_at", "message_id"])
