"""The tables ingest writes: raw rows, the files they came in, the checks they went through, and the quarantine."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from perennial.contracts import Contract
from perennial.warehouse import Warehouse

FILES = {
    "source": "text",
    "contract": "text",
    "file": "text",
    "version": "bigint",
    "sha256": "text",
    "bytes": "bigint",
    "landed_at": "timestamptz",
    "day": "date",
    "batch_id": "bigint",
    "status": "text",  # loaded | refused | held | duplicate
    "reason": "text",
    "rows": "bigint",
    "accepted": "bigint",
    "quarantined": "bigint",
    "newest_day": "date",  # of its accepted rows; null where they have none of their own
    "rules": "text",  # hash of the source and contract files it was judged by: refused files wait for a change
}
CHECKS = {
    "batch_id": "bigint",
    "source": "text",
    "contract": "text",
    "day": "date",
    "rule": "text",
    "severity": "text",
    "rows": "bigint",
    "failed": "bigint",
    "passed": "boolean",
    "detail": "text",
}
FORMS = {  # what the values of each loaded file look like
    "source": "text",
    "file": "text",
    "version": "bigint",
    "batch_id": "bigint",
    "column_name": "text",  # of the contract, or of the file where the mapping does not use it
    "is_mapped": "boolean",
    "form": "text",
    "rows": "bigint",
    "example": "text",
}
MIX = {  # how often the accepted rows of each loaded file have which value, in columns that have a usual mix
    "source": "text",
    "file": "text",
    "version": "bigint",
    "batch_id": "bigint",
    "column_name": "text",
    "value": "text",  # of numbers the size
    "rows": "bigint",
}
QUARANTINE = {
    "source": "text",
    "contract": "text",
    "file": "text",
    "version": "bigint",
    "row": "bigint",
    "batch_id": "bigint",
    "ingested_at": "timestamptz",
    "day": "date",
    "reasons": "text",
    "content": "text",
}
STAMPS = {
    "_day": "date",
    "_source": "text",
    "_file": "text",
    "_version": "bigint",
    "_row": "bigint",
    "_batch_id": "bigint",
    "_ingested_at": "timestamptz",
    "_key": "text",
    "_hash": "text",
    "_deleted": "boolean",  # the row says that what its key names is no more
}
_ARROW = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "date": pa.date32(),
    "boolean": pa.bool_(),
    "timestamptz": pa.timestamp("us", "UTC"),
}


def create_raw_tables(warehouse: Warehouse, contracts: Iterable[Contract]) -> None:
    warehouse.create("raw.files", FILES)
    warehouse.create("raw.checks", CHECKS)
    warehouse.create("raw.forms", FORMS)
    warehouse.create("raw.mix", MIX)
    warehouse.create("quarantine.rows", QUARANTINE)
    for contract in contracts:
        columns = {name: column.sql_type for name, column in contract.columns.items()}
        dates = dict.fromkeys(contract.date_columns, "date")
        warehouse.create(f"raw.{contract.name}", columns | dates | STAMPS)


def next_batch(warehouse: Warehouse) -> int:
    """A number that no batch has had."""
    return warehouse.count(
        "select coalesce(max(batch_id), 0) + 1 from "
        "(select batch_id from raw.files union all select batch_id from raw.checks) as used"
    )


def as_arrow(rows: Sequence[dict[str, object]], columns: Mapping[str, str]) -> pa.Table:
    """Rows as Arrow, with the types of `columns`."""
    return pa.Table.from_pylist(list(rows), schema=pa.schema([(name, _ARROW[kind]) for name, kind in columns.items()]))


def stamped(rows: pa.Table, stamps: Mapping[str, object]) -> pa.Table:
    """The rows with these of STAMPS, the same for all."""
    for name, value in stamps.items():
        same = pa.repeat(pa.scalar(value, _ARROW[STAMPS[name]]), len(rows))
        rows = rows.append_column(name, same)
    return rows
