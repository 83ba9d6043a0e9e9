"""What a home holds, so that two homes, or one home at two times, can be compared."""

import email
from collections import Counter
from email import policy

import duckdb
from pyarrow.dataset import dataset

from perennial.flows.reading import published_folder
from perennial.ledger import open_ledger
from perennial.warehouse import open_warehouse
from perennial.warehouse.snapshot import open_snapshot

# Operational: how and when something was done, not what is known. Left out of comparisons.
SCHEMAS = {
    "state",  # how each build went
    "touched",  # work lists of a run, emptied at its end
    "ledger",  # a copy, as of the last look, of the ledger, which is compared itself
    "published",  # copies of public tables, on a server
}
COLUMNS = {
    "raw.files": {"landed_at", "batch_id"},
    "raw.forms": {"batch_id"},
    "raw.mix": {"batch_id"},
    "raw.checks": {"batch_id"},
    "quarantine.rows": {"batch_id", "ingested_at"},
    "*": {"_batch_id", "_ingested_at"},
}


def compared(warehouse, without=()):
    """Table -> what comparisons look at of it: column -> type. `without` is written as COLUMNS."""
    found = {}
    for table in warehouse.tables():
        left_out = COLUMNS["*"] | COLUMNS.get(table, set()) | dict(without).get(table, set())
        if table.partition(".")[0] not in SCHEMAS:
            found[table] = {name: kind for name, kind in warehouse.columns(table).items() if name not in left_out}
    return found


def tables(settings, without=()):
    """Every table of the warehouse -> (rows, a checksum of its rows in any order); the same on every engine."""
    with open_warehouse(settings) as warehouse, duckdb.connect() as scratch:
        scratch.execute("set timezone = 'UTC'")
        found = {}
        for table, kept in compared(warehouse, without).items():
            columns = ", ".join(kept)
            with warehouse.stream(f"select {columns} from {table}") as rows:
                scratch.register("incoming", rows)
                found[table] = scratch.execute(
                    f"select count(*), sum(md5_number_lower(row({columns})::text)::hugeint)::text from incoming"
                ).fetchall()[0]
                scratch.unregister("incoming")
        return found


def messages(settings):
    """message_id -> state, for every message of the ledger."""
    with open_ledger(settings) as ledger:
        return {row["message_id"]: row["state"] for batch in ledger.changes("messages", None) for row in batch}


def mails(settings):
    """The messages in the mailbox, parsed."""
    return [
        email.message_from_bytes(path.read_bytes(), policy=policy.default)
        for path in sorted(settings.mailbox_dir.glob("*.eml"))
    ]


def copies(settings):
    """message_id -> how many times it is in the mailbox."""
    return Counter(mail["X-Perennial-Message"] for mail in mails(settings))


def orders(settings):
    """What `core.orders` holds, wherever it is read: place -> its rows."""
    folder = published_folder(settings)
    with open_warehouse(settings) as warehouse, open_snapshot(folder, settings) as snapshot:
        found = {
            "warehouse": warehouse.query("select * from core.orders"),
            "snapshot": snapshot.query("select * from core.orders"),
            "Parquet": dataset(folder / "orders").to_table(),
        }
        if warehouse.is_shared:
            found["published"] = warehouse.query("select * from published.orders")
    return {place: sorted(map(repr, rows.to_pylist())) for place, rows in found.items()}
