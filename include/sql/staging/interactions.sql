-- Every accepted interaction that has happened by the day, and what became of it. One row per row landed.
-- Several rows may speak of the same interaction (`_key`): the last
-- one in the newest version of the last file is current; rows equal to it are duplicates, others superseded. Files are
-- ordered by name, not by arrival: the order in which they come does not matter. Rows dated after the day wait for it.
-- grain:   _source, _file, _version, _row
-- refresh: replace_events
-- keys:    events = _key, sightings = identity, files = _file
-- pii:     email, phone, comment

with files as (
    select source, file, max(version) as version
    from raw.files
    where status = 'loaded'
    group by source, file
),

landed as (
    select
        rows.event_id,
        rows.occurred_at,
        rows.occurred_date,
        rows.customer_ref,
        rows.email,
        rows.phone,
        rows.device_id,
        rows.channel,
        rows.kind,
        rows.sku,
        rows.value,
        rows.rating,
        rows.text,
        rows.ticket_id,
        rows.properties,
        rows._source,
        rows._file,
        rows._version,
        rows._row,
        rows._batch_id,
        rows._key,
        rows._hash,
        case when rows._version = files.version then 1 else 0 end as is_newest_version
    from raw.interactions as rows
    inner join files on rows._source = files.source and rows._file = files.file
    where rows._day is null or rows._day <= $day
),

ranked as (
    select
        event_id,
        occurred_at,
        occurred_date,
        customer_ref,
        email,
        phone,
        device_id,
        channel,
        kind,
        sku,
        value,
        rating,
        text,
        ticket_id,
        properties,
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
        when phone is not null then 'phone:' || phone
    end as identity,
    event_id,
    occurred_at,
    occurred_date,
    customer_ref,
    email,
    phone,
    device_id,
    channel,
    kind,
    sku,
    value,
    rating,
    text as comment,
    ticket_id,
    properties,
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
