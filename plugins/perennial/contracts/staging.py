"""
The `staging` table of a contract: every accepted row that has happened by the day, and what became of it.

Several rows may speak of the same thing (`_key`): the last one in the newest version of the last file is current; rows
equal to it are duplicates, others superseded. Files are ordered by name, not by arrival: the order in which they come
does not matter. Where the last one says that the thing is no more, none is current. Rows dated after the day wait for
it. Most things are spoken of once: only the others are put in order. All rows are never held at once: `landed` is read
three times, which takes less time, too.
"""

from collections.abc import Iterable

from perennial.contracts.contract import Contract

GRAIN = ("_source", "_file", "_version", "_row")
_LINEAGE = (*GRAIN, "_batch_id", "_key")
_NEWEST_FIRST = "is_newest_version desc, _file desc, _row desc, _source desc, _version desc"

# Who a row is about, by the strongest identifier it has: column -> identity.
_IDENTITIES = {
    "customer_ref": "'ref:' || customer_ref",
    "email": "'email:' || lower(email)",
    "phone": "'phone:' || phone",
    "device_id": "'device:' || device_id",
}


def staging_sql(contract: Contract) -> str:
    """A SELECT from `raw.<contract>`: its columns, `identity` if it tells who, `fate`, where the row came from."""
    columns = [*contract.columns, *contract.date_columns]
    identity = identity_of(contract)
    return f"""
with files as (
    select source, file, max(version) as version
    from raw.files
    where status = 'loaded'
    group by source, file
),

landed as not materialized (
    select
        {_list(f"landed.{column}" for column in (*columns, *_LINEAGE, "_hash"))},
        coalesce(landed._deleted, false) as is_deleted,
        case when landed._version = files.version then 1 else 0 end as is_newest_version
    from raw.{contract.name} as landed
    inner join files on landed._source = files.source and landed._file = files.file
    where landed._day is null or landed._day <= $day
),

repeated as (
    select _key
    from landed
    group by _key
    having count(*) > 1
),

ranked as (
    select
        {_list((*columns, *_LINEAGE, "_hash", "is_newest_version", "is_deleted"))},
        row_number() over (partition by _key order by {_NEWEST_FIRST}) as place,
        first_value(_hash) over (partition by _key order by {_NEWEST_FIRST}) as current_hash,
        first_value(is_deleted) over (partition by _key order by {_NEWEST_FIRST}) as is_gone
    from landed
    where exists (select 1 from repeated where repeated._key = landed._key)
)

select
    {_list(columns)},
    {f"{identity} as identity," if identity else ""}
    case
        when is_newest_version = 0 or is_gone then 'superseded'
        when place = 1 then 'current'
        when _hash = current_hash and not is_deleted then 'duplicate'
        else 'superseded'
    end as fate,
    {_list(_LINEAGE)}
from ranked
union all
select
    {_list(columns)},
    {f"{identity} as identity," if identity else ""}
    case when is_newest_version = 0 or is_deleted then 'superseded' else 'current' end as fate,
    {_list(_LINEAGE)}
from landed
where not exists (select 1 from repeated where repeated._key = landed._key)
"""


def staging_keys(contract: Contract) -> dict[str, str]:
    """The touched sets that the table feeds -> its columns; by the first of them it is refreshed."""
    sightings = {"sightings": "identity"} if identity_of(contract) else {}
    return {**contract.touches, **sightings, "files": "_file"}


def staging_pii(contract: Contract) -> tuple[str, ...]:
    """The columns with personal data: those of the contract, and the identity that may be made of one."""
    return (*contract.personal, *(["identity"] if identity_of(contract) else []))


def identity_of(contract: Contract) -> str | None:
    """Who a row is about, as SQL over its columns; None for a contract whose rows are about nobody."""
    cases = [
        f"when {column} is not null then {sql}" for column, sql in _IDENTITIES.items() if column in contract.columns
    ]
    return f"case {' '.join(cases)} end" if "customer_ref" in contract.columns else None


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
