-- Every accepted product that has happened by the day, and what became of it. One row per row landed.
-- Several rows may speak of the same product (`_key`): the last
-- one in the newest version of the last file is current; rows equal to it are duplicates, others superseded. Files are
-- ordered by name, not by arrival: the order in which they come does not matter. Rows dated after the day wait for it.
-- grain:   _source, _file, _version, _row
-- refresh: replace_products
-- keys:    products = _key, files = _file
-- pii:     none

with files as (
    select source, file, max(version) as version
    from raw.files
    where status = 'loaded'
    group by source, file
),

landed as (
    select
        rows.sku,
        rows.name,
        rows.category,
        rows.brand,
        rows.price,
        rows.unit_cost,
        rows.image_url,
        rows.url,
        rows.replenish_days,
        rows.active,
        rows._source,
        rows._file,
        rows._version,
        rows._row,
        rows._batch_id,
        rows._key,
        rows._hash,
        case when rows._version = files.version then 1 else 0 end as is_newest_version
    from raw.products as rows
    inner join files on rows._source = files.source and rows._file = files.file
    where rows._day is null or rows._day <= $day
),

ranked as (
    select
        sku,
        name,
        category,
        brand,
        price,
        unit_cost,
        image_url,
        url,
        replenish_days,
        active,
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
    sku,
    name,
    category,
    brand,
    price,
    unit_cost,
    image_url,
    url,
    replenish_days,
    active,
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
