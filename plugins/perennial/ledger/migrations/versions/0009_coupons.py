"""Coupon codes, and messages found by their address: caps are counted when mail is queued."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "coupons",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["messages.message_id"], name="fk_coupons_message_id"),
        sa.PrimaryKeyConstraint("code", name="pk_coupons"),
        sa.UniqueConstraint("message_id", name="uq_coupons_message_id"),
    )
    op.create_index("ix_coupons_pool_message_id", "coupons", ["pool", "message_id"])
