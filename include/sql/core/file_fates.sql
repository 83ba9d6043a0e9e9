-- What became of the accepted rows of each file. One row per file version with accepted rows.
-- grain:   source, file, version
-- refresh: replace_files
-- keys:    files = file
-- pii:     none

with fates as (
    select _source, _file, _version, fate, ordered_date as day from staging.order_lines
    union all
    select _source, _file, _version, fate, updated_date as day from staging.customers
    union all
    select _source, _file, _version, fate, occurred_date as day from staging.interactions
    union all
    select _source, _file, _version, fate, cast(null as date) as day from staging.products
    union all
    select _source, _file, _version, fate, recorded_date as day from staging.consents
    union all
    select _source, _file, _version, fate, from_day as day from staging.costs
)

select
    _source as source,
    _file as file,
    _version as version,
    count(*) filter (where fate = 'current') as current_rows,
    count(*) filter (where fate = 'duplicate') as duplicate_rows,
    count(*) filter (where fate = 'superseded') as superseded_rows,
    max(day) as newest_day
from fates
group by _source, _file, _version
