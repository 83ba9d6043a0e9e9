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


class Words(TypeDecorator[str]):
    """Text of any length. What PostgreSQL cannot store, NUL and lone surrogates, is replaced on both engines."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return storable(value) if value is not None else None


class Prose(Words):
    """The same for what is longer."""

    impl = Text
    cache_ok = True


def storable(text: str) -> str:
    """The text as the ledger holds it."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


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
    Column("ledger_id", Words, primary_key=True),
    _required("revision", BigInteger),
)

# What the warehouse can be rebuilt from: which days were run, and what was known then.
day_runs = Table(
    "day_runs",
    metadata,
    Column("day", Date, primary_key=True),
    Column("known_at", Moment, primary_key=True),
    _required("origin", Words),
    _required("finished_at", Moment),
)

# One row per campaign and send day: its frozen decisions.
campaign_runs = Table(
    "campaign_runs",
    metadata,
    Column("campaign", Words, primary_key=True),
    Column("send_day", Date, primary_key=True),
    _required("occurrence", Words),
    _required("origin", Words),
    _required("decisions_file", Prose),
    _required("decisions_sha256", Words),
    _required("outbox_file", Prose),
    _required("outbox_sha256", Words),
    _required("counts", _json()),
    _required("state", Words),  # frozen | queued | cancelled
    _required("frozen_at", Moment),
    Column("queued_at", Moment),
    _required("approval", Words, server_default="not_needed"),  # not_needed | waiting | approved | rejected
)

# What is handed over no more until somebody resumes it: a campaign, or everything (*).
pauses = Table(
    "pauses",
    metadata,
    Column("subject", Words, primary_key=True),
    _required("since", Moment),
    _required("paused_by", Words),
    _required("why", Prose),
)

# Compiled Jinja sources, so that delivery needs the ledger alone.
templates = Table(
    "templates",
    metadata,
    Column("template_hash", Words, primary_key=True),
    _required("campaign", Words),
    _required("locale", Words),
    _required("variant", Words),
    _required("subject", Prose),
    _required("html", Prose),
    _required("text", Prose),
    _required("created_at", Moment),
)

# A worker's hold on a batch of messages. Its id is the fence: a message obeys only the lease it names.
leases = Table(
    "leases",
    metadata,
    Column("lease_id", Words, primary_key=True),
    _required("provider", Words),
    Column("claimed_at", Moment, nullable=False, index=True),
    _required("expires_at", Moment),
    Column("closed_at", Moment, index=True),
    Column("messages", Integer),  # how many it took
)

# Providers whose last attempt came to nothing.
provider_outages = Table(
    "provider_outages",
    metadata,
    Column("provider", Words, primary_key=True),
    _required("since", Moment),
    _required("last_at", Moment),
    _required("attempts", Integer),
    _required("error", Prose),
)

messages = Table(
    "messages",
    metadata,
    Column("message_id", Words, primary_key=True),
    _required("campaign", Words),
    _required("occurrence", Words),
    _required("send_day", Date),
    _required("customer_id", Words, index=True),
    _required("address", Words),
    _required("address_hash", Words, index=True),
    _required("locale", Words),
    Column("arm", Words),
    Column("variant", Words),
    _required("purpose", Words),  # promotional | transactional | service
    _required("topic", Words),
    Column("template_hash", Words, ForeignKey("templates.template_hash"), nullable=False),
    Column("context", _json()),  # null once purged
    _required("not_before", Moment),
    _required("expires_at", Moment),
    _required("provider", Words),  # fixed when queued, but for a failover: mail for the mailbox never goes elsewhere
    _required("state", Words),
    Column("reason", Prose),  # why held, failed, expired or unknown
    _required("attempts", Integer),
    Column("next_attempt_at", Moment),
    Column("lease_id", Words, ForeignKey("leases.lease_id"), index=True),
    _required("queued_at", Moment),
    Column("handed_at", Moment),
    Column("accepted_at", Moment),
    Column("settled_at", Moment),
    Column("provider_reply", Prose),
    _required("updated_at", Moment),
    UniqueConstraint("campaign", "occurrence", "customer_id"),
    UniqueConstraint("campaign", "occurrence", "address_hash"),
    ForeignKeyConstraint(["campaign", "send_day"], ["campaign_runs.campaign", "campaign_runs.send_day"]),
    Index("ix_messages_due", "provider", "state", "next_attempt_at", "message_id"),
    Index(None, "updated_at"),
)

# Codes that a shop honours once. One goes with one message, for ever, unless that was called off before it left.
coupons = Table(
    "coupons",
    metadata,
    Column("code", Words, primary_key=True),
    _required("pool", Words),
    Column("message_id", Words, ForeignKey("messages.message_id"), unique=True),
    _required("loaded_at", Moment),
    Column("assigned_at", Moment),
    Index(None, "pool", "message_id"),
)

# No foreign key: an event may be about a message that a restored ledger does not know.
message_events = Table(
    "message_events",
    metadata,
    Column("event_id", Words, primary_key=True),
    _required("content_hash", Words, unique=True),
    _required("message_id", Words, index=True),
    _required("kind", Words),
    _required("occurred_at", Moment),
    _required("recorded_at", Moment, index=True),
    _required("provider", Words),
    _required("machine", Boolean),  # a scanner or a privacy proxy, not a person
    _required("details", _json()),
)

# Signed by the provider, and not understood or about no message of ours. Bodies hold addresses: deleted after a while.
set_aside_events = Table(
    "set_aside_events",
    metadata,
    Column("content_hash", Words, primary_key=True),
    _required("provider", Words),
    _required("reason", Words),
    _required("body", Prose),  # cut where it is long
    _required("received_at", Moment, index=True),
)

# Where the signature covers a token and not the body, a token is good for one body.
webhook_tokens = Table(
    "webhook_tokens",
    metadata,
    Column("token", Words, primary_key=True),
    _required("body_hash", Words),
    _required("received_at", Moment, index=True),
)

# Until when a provider was asked for its events.
event_polls = Table(
    "event_polls",
    metadata,
    Column("provider", Words, primary_key=True),
    _required("polled_until", Moment),
)

# Every version of an answer; the one that is not superseded counts.
survey_answers = Table(
    "survey_answers",
    metadata,
    Column("answer_id", Words, primary_key=True),
    _required("message_id", Words),
    _required("survey", Words),  # nps | csat
    _required("score", Integer),
    Column("comment", Prose),
    _required("answered_at", Moment),
    Column("superseded_at", Moment),
    _required("updated_at", Moment, index=True),
    Index(None, "message_id", "survey"),
)

# Somebody typed in an address; whoever reads its mail confirms. The address itself is the message's.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("message_id", Words, primary_key=True),
    _required("address_hash", Words),
    _required("topic", Words),
    _required("client", Words),  # a keyed hash of who asked
    _required("text_version", Words),
    _required("requested_at", Moment),
    Column("confirmed_at", Moment),
    Index(None, "address_hash", "requested_at"),
    Index(None, "client", "requested_at"),
)

# Append-only. The hash is the natural key: one statement of one contact point.
consents = Table(
    "consents",
    metadata,
    Column("content_hash", Words, primary_key=True),
    Column("address_hash", Words, index=True),
    Column("customer_ref", Words),
    _required("channel", Words),
    Column("topic", Words),  # null: every topic
    _required("state", Words),  # granted | denied
    _required("recorded_at", Moment),
    Column("method", Words),
    Column("proof", Prose),
    Column("source", Words),  # whose files said it; null: told to us directly
    _required("appended_at", Moment, index=True),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("suppression_id", Words, primary_key=True),
    _required("address_hash", Words),
    _required("reason", Words),
    _required("topic", Words),  # "" : every topic (a null would not count as unique)
    _required("created_at", Moment, index=True),
    Column("expires_at", Moment),
    Column("message_id", Words),
    UniqueConstraint("address_hash", "reason", "topic"),
)

# Bounce and complaint reports that were read, by the SHA-256 of the file; nothing of what they say is kept here.
reports_read = Table(
    "reports_read",
    metadata,
    Column("content_hash", Words, primary_key=True),
    _required("outcome", Words),  # recorded | ignored | unmatched | no_report
    _required("read_at", Moment),
)

# What is known of everybody who was erased: salted hashes of what named them, so that nobody comes back unseen.
erased_identifiers = Table(
    "erased_identifiers",
    metadata,
    Column("hash", Words, primary_key=True),
    _required("erasure_id", Words, index=True),
    _required("erased_at", Moment),
)

# Append-only: what was done in each store for one erasure.
erasures = Table(
    "erasures",
    metadata,
    Column("erasure_id", Words, primary_key=True),
    Column("store", Words, primary_key=True),
    _required("done_at", Moment),
    _required("details", _json()),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("audit_id", Words, primary_key=True),
    _required("at", Moment),
    _required("actor", Words),
    _required("action", Words),
    _required("subject", Words),
    _required("details", _json()),
)
