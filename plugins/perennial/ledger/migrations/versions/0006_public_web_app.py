"""What comes in through the public web app: events kept aside, answers to surveys, subscriptions to confirm."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "set_aside_events",
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name="pk_set_aside_events"),
    )
    op.create_index("ix_set_aside_events_received_at", "set_aside_events", ["received_at"])
    op.create_table(
        "webhook_tokens",
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_webhook_tokens"),
    )
    op.create_index("ix_webhook_tokens_received_at", "webhook_tokens", ["received_at"])
    op.create_table(
        "event_polls",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("polled_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider", name="pk_event_polls"),
    )
    op.create_table(
        "survey_answers",
        sa.Column("answer_id", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("survey", sa.String(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("answer_id", name="pk_survey_answers"),
    )
    op.create_index("ix_survey_answers_message_id_survey", "survey_answers", ["message_id", "survey"])
    op.create_index("ix_survey_answers_updated_at", "survey_answers", ["updated_at"])
    op.create_table(
        "subscriptions",
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("address_hash", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("text_version", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("message_id", name="pk_subscriptions"),
    )
    op.create_index("ix_subscriptions_address_hash_requested_at", "subscriptions", ["address_hash", "requested_at"])
    op.create_index("ix_subscriptions_client_requested_at", "subscriptions", ["client", "requested_at"])
