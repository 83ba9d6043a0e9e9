-- How many accepted rows of each file are dated after the day and wait for it. One row per file version that has such rows.
-- grain:   source, file, version
-- refresh: rebuild
-- pii:     none

with waiting as (
    select _source, _file, _version from raw.order_lines where _day > $day
    union all
    select _source, _file, _version from raw.customers where _day > $day
    union all
    select _source, _file, _version from raw.interactions where _day > $day
    union all
    select _source, _file, _version from raw.consents where _day > $day
    union all
    select _source, _file, _version from raw.costs where _day > $day
)

select _source as source, _file as file, _version as version, count(*) as waiting_rows
from waiting
group by _source, _file, _version
