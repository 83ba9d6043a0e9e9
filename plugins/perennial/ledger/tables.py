"""The ledger's tables as the code sees them. `migrations/` makes them; a test holds the two together."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class Moment(TypeDecorator[datetime]):
    """A point in time: aware going in, UTC in the database, aware coming out (SQLite keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError(f"The ledger takes aware times only, got {value!r}.")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _json() -> JSON:
    return JSON(none_as_null=True)


def _required(name: str, kind: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **options)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row. `revision` grows with every commit; the high-water mark outside the file follows it.
ledger_state = Table(
    "ledger_state",
    metadata,
    Column("ledger_id", String(36), primary_key=True),
    _required("revision", BigInteger),
)

# What the warehouse can be rebuilt from: which days were run, and what was known then.
day_runs = Table(
    "day_runs",
    metadata,
    Column("day", Date, primary_key=True),
    Column("known_at", Moment, primary_key=True),
    _required("origin", String(16)),
    _required("finished_at", Moment),
)

# One row per campaign and send day: its frozen decisions.
campaign_runs = Table(
    "campaign_runs",
    metadata,
    Column("campaign", String(100), primary_key=True),
    Column("send_day", Date, primary_key=True),
    _required("occurrence", String(200)),
    _required("origin", String(16)),
    _required("decisions_file", Text),
    _required("decisions_sha256", String(64)),
    _required("outbox_file", Text),
    _required("outbox_sha256", String(64)),
    _required("counts", _json()),
    _required("state", String(16)),  # frozen | queued
    _required("frozen_at", Moment),
    Column("queued_at", Moment),
)

# Compiled Jinja sources, so that delivery needs the ledger alone.
templates = Table(
    "templates",
    metadata,
    Column("template_hash", String(64), primary_key=True),
    _required("campaign", String(100)),
    _required("locale", String(20)),
    _required("variant", String(50)),
    _required("subject", Text),
    _required("html", Text),
    _required("text", Text),
    _required("created_at", Moment),
)

# A worker's hold on a batch of messages. Its id is the fence: a message obeys only the lease it names.
leases = Table(
    "leases",
    metadata,
    Column("lease_id", String(36), primary_key=True),
    _required("provider", String(20)),
    _required("claimed_at", Moment),
    _required("expires_at", Moment),
    Column("closed_at", Moment, index=True),
)

messages = Table(
    "messages",
    metadata,
    Column("message_id", String(36), primary_key=True),
    _required("campaign", String(100)),
    _required("occurrence", String(200)),
    _required("send_day", Date),
    _required("customer_id", String(100), index=True),
    _required("address", String(320)),
    _required("address_hash", String(64)),
    _required("locale", String(20)),
    Column("arm", String(50)),
    Column("variant", String(50)),
    _required("purpose", String(20)),  # promotional | transactional | service
    _required("topic", String(100)),
    Column("template_hash", String(64), ForeignKey("templates.template_hash"), nullable=False),
    Column("context", _json()),  # null once purged
    _required("not_before", Moment),
    _required("expires_at", Moment),
    _required("provider", String(20)),  # fixed when queued: mail for the mailbox never goes out by SMTP
    _required("state", String(20)),
    Column("reason", Text),  # why held, failed, expired or unknown
    _required("attempts", Integer),
    Column("next_attempt_at", Moment),
    Column("lease_id", String(36), ForeignKey("leases.lease_id"), index=True),
    _required("queued_at", Moment),
    Column("handed_at", Moment),
    Column("accepted_at", Moment),
    Column("settled_at", Moment),
    Column("provider_reply", Text),
    _required("updated_at", Moment),
    UniqueConstraint("campaign", "occurrence", "customer_id"),
    UniqueConstraint("campaign", "occurrence", "address_hash"),
    ForeignKeyConstraint(["campaign", "send_day"], ["campaign_runs.campaign", "campaign_runs.send_day"]),
    Index(None, "state", "next_attempt_at"),
    Index(None, "updated_at"),
)

# No foreign key: an event may be about a message that a restored ledger does not know.
message_events = Table(
    "message_events",
    metadata,
    Column("event_id", String(200), primary_key=True),
    _required("content_hash", String(64), unique=True),
    _required("message_id", String(36), index=True),
    _required("kind", String(20)),
    _required("occurred_at", Moment),
    _required("recorded_at", Moment, index=True),
    _required("provider", String(20)),
    _required("machine", Boolean),  # a scanner or a privacy proxy, not a person
    _required("details", _json()),
)

# Append-only. The hash is the natural key: one statement of one contact point.
consents = Table(
    "consents",
    metadata,
    Column("content_hash", String(64), primary_key=True),
    Column("address_hash", String(64), index=True),
    Column("customer_ref", String(200)),
    _required("channel", String(20)),
    Column("topic", String(100)),  # null: every topic
    _required("state", String(10)),  # granted | denied
    _required("recorded_at", Moment),
    Column("method", String(100)),
    Column("proof", Text),
    _required("appended_at", Moment, index=True),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("suppression_id", String(64), primary_key=True),
    _required("address_hash", String(64)),
    _required("reason", String(50)),
    _required("topic", String(100)),  # "" : every topic (a null would not count as unique)
    _required("created_at", Moment, index=True),
    Column("expires_at", Moment),
    Column("message_id", String(36)),
    UniqueConstraint("address_hash", "reason", "topic"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("audit_id", String(36), primary_key=True),
    _required("at", Moment),
    _required("actor", String(200)),
    _required("action", String(50)),
    _required("subject", String(200)),
    _required("details", _json()),
)
