"""Consents know whose files said them; reports from the bounce mailbox are read once."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("consents", sa.Column("source", sa.String()))
    op.create_index("ix_messages_address_hash", "messages", ["address_hash"])
    op.create_table(
        "reports_read",
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name="pk_reports_read"),
    )
