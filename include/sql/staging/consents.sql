-- Every accepted consent or withdrawal that has happened by the day, and what became of it. One row per row landed.
-- Several rows may speak of the same consent or withdrawal (`_key`): the last
-- one in the newest version of the last file is current; rows equal to it are duplicates, others superseded. Files are
-- ordered by name, not by arrival: the order in which they come does not matter. Rows dated after the day wait for it.
-- grain:   _source, _file, _version, _row
-- refresh: replace_consents
-- keys:    consents = _key, sightings = identity, files = _file
-- pii:     email

with files as (
    select source, file, max(version) as version
    from raw.files
    where status = 'loaded'
    group by source, file
),

landed as (
    select
        rows.customer_ref,
        rows.email,
        rows.channel,
        rows.topic,
        rows.state,
        rows.recorded_at,
        rows.recorded_date,
        rows.method,
        rows.proof,
        rows._source,
        rows._file,
        rows._version,
        rows._row,
        rows._batch_id,
        rows._key,
        rows._hash,
        case when rows._version = files.version then 1 else 0 end as is_newest_version
    from raw.consents as rows
    inner join files on rows._source = files.source and rows._file = files.file
    where rows._day is null or rows._day <= $day
),

ranked as (
    select
        customer_ref,
        email,
        channel,
        topic,
        state,
        recorded_at,
        recorded_date,
        method,
        proof,
        _source,
        _file,
        _version,
        _row,
        _batch_id,
        _key,
        _hash,
        is_newest_version,
        row_number() over (
            partition by _key
            order by is_newest_version desc, _file desc, _row desc, _source desc, _version desc
        ) as place,
        first_value(_hash) over (
            partition by _key
            order by is_newest_version desc, _file desc, _row desc, _source desc, _version desc
        ) as current_hash
    from landed
)

select
    case
        when customer_ref is not null then 'ref:' || customer_ref
        when email is not null then 'email:' || lower(email)
    end as identity,
    customer_ref,
    email,
    channel,
    topic,
    state,
    recorded_at,
    recorded_date,
    method,
    proof,
    case
        when is_newest_version = 0 then 'superseded'
        when place = 1 then 'current'
        when _hash = current_hash then 'duplicate'
        else 'superseded'
    end as fate,
    _source,
    _file,
    _version,
    _row,
    _batch_id,
    _key
from ranked
