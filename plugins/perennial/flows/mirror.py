"""The ledger's part of the warehouse: copies that models may read."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation.settings import Settings
from perennial.ledger import Ledger, open_ledger
from perennial.warehouse import Warehouse

_OVERLAP = timedelta(hours=1)  # ledger rows commit out of order

# Ledger table -> its key, the time that orders its changes, and the columns that the warehouse copies.
# Beside each `_at` comes a `_date`, its business day.
_MIRRORS: dict[str, tuple[str, str, dict[str, str]]] = {
    "messages": (
        "message_id",
        "updated_at",
        {
            "message_id": "text",
            "campaign": "text",
            "occurrence": "text",
            "send_day": "date",
            "customer_id": "text",
            "address_hash": "text",
            "locale": "text",
            "arm": "text",
            "variant": "text",
            "purpose": "text",
            "topic": "text",
            "state": "text",
            "reason": "text",
            "handed_at": "timestamptz",
            "accepted_at": "timestamptz",
            "updated_at": "timestamptz",
        },
    ),
    "message_events": (
        "event_id",
        "recorded_at",
        {
            "event_id": "text",
            "message_id": "text",
            "kind": "text",
            "machine": "boolean",
            "occurred_at": "timestamptz",
            "recorded_at": "timestamptz",
        },
    ),
    "consents": (
        "content_hash",
        "appended_at",
        {
            "content_hash": "text",
            "address_hash": "text",
            "customer_ref": "text",
            "channel": "text",
            "topic": "text",
            "state": "text",
            "recorded_at": "timestamptz",
            "source": "text",
            "appended_at": "timestamptz",
        },
    ),
    "survey_answers": (
        "answer_id",
        "updated_at",
        {
            "answer_id": "text",
            "message_id": "text",
            "survey": "text",
            "score": "integer",
            "answered_at": "timestamptz",
            "superseded_at": "timestamptz",
            "updated_at": "timestamptz",
        },
    ),
    "audit_log": (
        "audit_id",
        "told_at",
        {"audit_id": "text", "told_at": "timestamptz", "action": "text", "subject": "text"},
    ),
    "suppressions": (
        "suppression_id",
        "created_at",
        {
            "suppression_id": "text",
            "address_hash": "text",
            "reason": "text",
            "topic": "text",
            "created_at": "timestamptz",
            "expires_at": "timestamptz",
        },
    ),
}
_SQL = {pa.string(): "text", pa.date32(): "date", pa.int64(): "bigint"}
_ARROW = {
    "text": pa.string(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}


# Frozen decisions, as their files hold them.
DECISIONS = pa.schema(
    {
        "campaign": pa.string(),
        "send_day": pa.date32(),
        "occurrence": pa.string(),
        "customer_id": pa.string(),
        "experiment": pa.string(),
        "arm": pa.string(),
        "variant": pa.string(),
        "reason": pa.string(),
        "failing_check": pa.string(),
        "partner": pa.string(),
        "people": pa.int64(),  # 1; more in what is left of old decisions, which are counts and name nobody
    }
)
KEPT_REASONS = ("send", "campaign_holdout", "global_holdout")  # for ever
KEPT_DAYS = 90  # other decisions; then as counts
_COUNTED_BY = tuple(name for name in DECISIONS.names if name not in ("occurrence", "customer_id", "people"))
_COMPACTED = ".kept"


def create_mirrors(warehouse: Warehouse) -> None:
    """Make the tables that `mirror_ledger` fills."""
    for name, (_, _, columns) in _MIRRORS.items():
        warehouse.create(f"ledger.{name}", columns | _dates(columns))
    warehouse.create("campaigns.decisions", {field.name: _SQL[field.type] for field in DECISIONS})


def mirror_ledger(warehouse: Warehouse, settings: Settings) -> None:
    """Copy what is new in the ledger, without addresses, contexts, comments and proofs."""
    create_mirrors(warehouse)
    with open_ledger(settings) as ledger:
        for name, (key, changed, columns) in _MIRRORS.items():
            table = f"ledger.{name}"
            newest = warehouse.value(f"select max({changed}) from {table}")
            since = newest.astimezone(UTC) - _OVERLAP if isinstance(newest, datetime) else None
            for batch in ledger.changes(name, since, columns):  # type: ignore[arg-type]
                with warehouse.transaction():
                    warehouse.upsert(table, key, _as_table(batch, columns, settings.zone))
        _load_decisions(warehouse, ledger)


def _dates(columns: dict[str, str]) -> dict[str, str]:
    return {_date_of(column): "date" for column in columns if column.endswith("_at")}


def _date_of(column: str) -> str:
    return column.removesuffix("_at") + "_date"


def _as_table(rows: list[dict[str, object]], columns: dict[str, str], zone: ZoneInfo) -> pa.Table:
    arrays = {}
    for column, kind in columns.items():
        values = [row[column] for row in rows]
        arrays[column] = pa.array(values, _ARROW[kind])
        if column.endswith("_at"):
            days = [moment.astimezone(zone).date() if isinstance(moment, datetime) else None for moment in values]
            arrays[_date_of(column)] = pa.array(days, _ARROW["date"])
    return pa.table(arrays)


def _load_decisions(warehouse: Warehouse, ledger: Ledger) -> None:
    """Load the frozen decisions that the warehouse does not have yet, and drop those that are decided anew."""
    loaded = {
        (row["campaign"], row["send_day"])
        for row in warehouse.query("select distinct campaign, send_day from campaigns.decisions").to_pylist()
    }
    frozen = ledger.campaign_runs()
    for campaign, send_day in loaded - {(campaign_run.campaign, campaign_run.send_day) for campaign_run in frozen}:
        warehouse.execute(
            "delete from campaigns.decisions where campaign = $campaign and send_day = $send_day",
            campaign=campaign,
            send_day=send_day,
        )
    for campaign_run in frozen:
        if (campaign_run.campaign, campaign_run.send_day) not in loaded:
            warehouse.append("campaigns.decisions", ledger.read_frozen(campaign_run.decisions))


def compact_decisions(warehouse: Warehouse, ledger: Ledger, send_day: date) -> int:
    """
    Of decisions older than KEPT_DAYS keep who was written to or held out; the others become counts that name nobody.

    In the ledger's files and in the warehouse alike; it may be killed at any moment and run again. Returns how many
    files became smaller.
    """
    before = send_day - timedelta(days=KEPT_DAYS)
    compacted = 0
    for run in ledger.campaign_runs():
        if run.send_day < before and _COMPACTED not in run.decisions.path:
            rows = _compacted(ledger.read_frozen(run.decisions))
            file = ledger.write_frozen(f"{run.campaign}{_COMPACTED}", run.send_day, rows)
            compacted += ledger.exchange_decisions(run, file, why=f"older than {KEPT_DAYS} days")
    others = "send_day < $before and customer_id <> '' and reason not in ('" + "', '".join(KEPT_REASONS) + "')"
    columns = ", ".join(_COUNTED_BY)
    with warehouse.transaction():
        warehouse.execute(
            f"insert into campaigns.decisions ({columns}, occurrence, customer_id, people)"
            f" select {columns}, '', '', count(*) from campaigns.decisions where {others} group by {columns}",
            before=before,
        )
        warehouse.execute(f"delete from campaigns.decisions where {others}", before=before)
    return compacted


def _compacted(rows: pa.Table) -> pa.Table:
    if "people" not in rows.column_names:  # of an older version
        rows = rows.append_column("people", pa.array([1] * rows.num_rows, pa.int64()))
    if "partner" not in rows.column_names:
        rows = rows.append_column("partner", pa.nulls(rows.num_rows, pa.string()))
    is_kept = pc.is_in(rows["reason"], pa.array(KEPT_REASONS))
    counted = rows.filter(pc.invert(is_kept)).group_by(list(_COUNTED_BY)).aggregate([("people", "sum")])
    nobody = pa.array([""] * counted.num_rows, pa.string())
    counts = {**{name: counted[name] for name in _COUNTED_BY}, "people": counted["people_sum"]}
    others = pa.table({**counts, "occurrence": nobody, "customer_id": nobody}).select(DECISIONS.names).cast(DECISIONS)
    return pa.concat_tables([rows.filter(is_kept).select(DECISIONS.names).cast(DECISIONS), others])
