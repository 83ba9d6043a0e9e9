"""The ledger's first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("audit_id", sa.String(36), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name="pk_audit_log"),
    )
    op.create_table(
        "campaign_runs",
        sa.Column("campaign", sa.String(100), nullable=False),
        sa.Column("send_day", sa.Date(), nullable=False),
        sa.Column("occurrence", sa.String(200), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("decisions_file", sa.Text(), nullable=False),
        sa.Column("decisions_sha256", sa.String(64), nullable=False),
        sa.Column("outbox_file", sa.Text(), nullable=False),
        sa.Column("outbox_sha256", sa.String(64), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("campaign", "send_day", name="pk_campaign_runs"),
    )
    op.create_table(
        "consents",
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("address_hash", sa.String(64), nullable=True),
        sa.Column("customer_ref", sa.String(200), nullable=True),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("topic", sa.String(100), nullable=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("method", sa.String(100), nullable=True),
        sa.Column("proof", sa.Text(), nullable=True),
        sa.Column("appended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name="pk_consents"),
    )
    op.create_index("ix_consents_address_hash", "consents", ["address_hash"])
    op.create_index("ix_consents_appended_at", "consents", ["appended_at"])
    op.create_table(
        "day_runs",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("known_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("day", "known_at", name="pk_day_runs"),
    )
    op.create_table(
        "leases",
        sa.Column("lease_id", sa.String(36), nullable=False),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("lease_id", name="pk_leases"),
    )
    op.create_index("ix_leases_closed_at", "leases", ["closed_at"])
    op.create_table(
        "ledger_state",
        sa.Column("ledger_id", sa.String(36), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", name="pk_ledger_state"),
    )
    op.create_table(
        "message_events",
        sa.Column("event_id", sa.String(200), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("machine", sa.Boolean(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_message_events"),
        sa.UniqueConstraint("content_hash", name="uq_message_events_content_hash"),
    )
    op.create_index("ix_message_events_message_id", "message_events", ["message_id"])
    op.create_index("ix_message_events_recorded_at", "message_events", ["recorded_at"])
    op.create_table(
        "suppressions",
        sa.Column("suppression_id", sa.String(64), nullable=False),
        sa.Column("address_hash", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(50), nullable=False),
        sa.Column("topic", sa.String(100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message_id", sa.String(36), nullable=True),
        sa.PrimaryKeyConstraint("suppression_id", name="pk_suppressions"),
        sa.UniqueConstraint("address_hash", "reason", "topic", name="uq_suppressions_address_hash_reason_topic"),
    )
    op.create_index("ix_suppressions_created_at", "suppressions", ["created_at"])
    op.create_table(
        "templates",
        sa.Column("template_hash", sa.String(64), nullable=False),
        sa.Column("campaign", sa.String(100), nullable=False),
        sa.Column("locale", sa.String(20), nullable=False),
        sa.Column("variant", sa.String(50), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("template_hash", name="pk_templates"),
    )
    op.create_table(
        "messages",
        sa.Column("message_id", sa.String(36), nullable=False),
        sa.Column("campaign", sa.String(100), nullable=False),
        sa.Column("occurrence", sa.String(200), nullable=False),
        sa.Column("send_day", sa.Date(), nullable=False),
        sa.Column("customer_id", sa.String(100), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("address_hash", sa.String(64), nullable=False),
        sa.Column("locale", sa.String(20), nullable=False),
        sa.Column("arm", sa.String(50), nullable=True),
        sa.Column("variant", sa.String(50), nullable=True),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("topic", sa.String(100), nullable=False),
        sa.Column("template_hash", sa.String(64), nullable=False),
        sa.Column("context", sa.JSON(), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_id", sa.String(36), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider_reply", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign", "send_day"],
            ["campaign_runs.campaign", "campaign_runs.send_day"],
            name="fk_messages_campaign_send_day",
        ),
        sa.ForeignKeyConstraint(["lease_id"], ["leases.lease_id"], name="fk_messages_lease_id"),
        sa.ForeignKeyConstraint(["template_hash"], ["templates.template_hash"], name="fk_messages_template_hash"),
        sa.PrimaryKeyConstraint("message_id", name="pk_messages"),
        sa.UniqueConstraint(
            "campaign", "occurrence", "address_hash", name="uq_messages_campaign_occurrence_address_hash"
        ),
        sa.UniqueConstraint(
            "campaign", "occurrence", "customer_id", name="uq_messages_campaign_occurrence_customer_id"
        ),
    )
    op.create_index("ix_messages_customer_id", "messages", ["customer_id"])
    op.create_index("ix_messages_lease_id", "messages", ["lease_id"])
    op.create_index("ix_messages_state_next_attempt_at", "messages", ["state", "next_attempt_at"])
    op.create_index("ix_messages_updated_at", "messages", ["updated_at"])
