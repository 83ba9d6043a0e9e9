"""Campaign runs may wait for an approval; campaigns, or everything, may be paused."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("campaign_runs", sa.Column("approval", sa.String(), nullable=False, server_default="not_needed"))
    op.create_table(
        "pauses",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_by", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_pauses"),
    )
