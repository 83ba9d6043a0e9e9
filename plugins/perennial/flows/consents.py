"""What files say about consent goes into the ledger, where delivery looks for the last time before a mail leaves."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from perennial.foundation.settings import Settings
from perennial.ledger import NewConsent, open_ledger
from perennial.warehouse import Warehouse

_AT_ONCE = 5_000
_EVIDENCE = ("method", "text_version", "proof")

# A statement belongs to the address it names and to the one its person is written to now. Rows dated after the day are
# taken, too: tables wait for their day, a withdrawal does not. Of a file that came again, the newest version counts.
_NEW_SQL = """
with newest as (
    select source, file, max(version) as version
    from raw.files
    where status = 'loaded'
    group by source, file
),

said as (
    select
        consents.customer_ref, lower(consents.email) as email, consents.topic, consents.state, consents.recorded_at,
        {evidence},
        consents._source as source, consents._file as file, consents._version as version, consents._row as row_number,
        case when consents.customer_ref is not null then 'ref:' || consents.customer_ref
            else 'email:' || lower(consents.email) end as identity
    from raw.consents as consents
    join newest on consents._source = newest.source and consents._file = newest.file
        and consents._version = newest.version
    where consents.channel = 'email' and not coalesce(consents._deleted, false)
),

addressed as (
    select said.*, address_hash(said.email) as address_hash
    from said
    where said.email is not null
    union all
    select said.*, address_hash(customers.email) as address_hash
    from said
    join core.identities as identities on said.identity = identities.identity
    join core.customers as customers on identities.customer_id = customers.customer_id
    where customers.email is not null and customers.email is distinct from said.email
)

select addressed.*
from addressed
where not exists (
    select 1
    from ledger.consents as told
    where told.source is not null
        and told.address_hash = addressed.address_hash
        and told.channel = 'email'
        and coalesce(told.topic, 'all') = coalesce(addressed.topic, 'all')
        and told.state = addressed.state
        and told.recorded_at = addressed.recorded_at
)
order by addressed.recorded_at, addressed.source, addressed.file, addressed.version, addressed.row_number
"""


def append_consents(warehouse: Warehouse, settings: Settings) -> int:
    """
    Append to the ledger what files say about mail and it does not know yet, with the proof; returns how many.

    A statement is appended once, whichever files repeat it, and again for each new address of its person. What a later
    version of a file no longer says stays: it was said, until something newer is.
    """
    appended = 0
    columns = warehouse.columns("raw.consents")  # a contract of yours may lack some
    evidence = ", ".join(
        f"consents.{name}" if name in columns else f"cast(null as text) as {name}" for name in _EVIDENCE
    )
    with open_ledger(settings) as ledger, warehouse.stream(_NEW_SQL.format(evidence=evidence)) as rows:
        for batch in rows:
            for start in range(0, len(batch), _AT_ONCE):
                appended += ledger.append_consents(_statements(batch.slice(start, _AT_ONCE)))
    return appended


def _statements(rows: pa.RecordBatch) -> Iterator[NewConsent]:
    for row in rows.to_pylist():
        yield NewConsent(
            channel="email",
            state=row["state"],
            recorded_at=row["recorded_at"],
            address_hash=row["address_hash"],
            customer_ref=row["customer_ref"],
            topic=None if row["topic"] == "all" else row["topic"],
            method=row["method"],
            proof=_proof(row),
            source=row["source"],
        )


def _proof(row: dict[str, Any]) -> str:
    """Where it was said and what the file has to show for it, as JSON."""
    place = {"source": row["source"], "file": row["file"], "version": row["version"], "row": row["row_number"]}
    shown = {name: row[name] for name in ("text_version", "proof") if row[name] is not None}
    return json.dumps(place | shown, ensure_ascii=False, sort_keys=True)
