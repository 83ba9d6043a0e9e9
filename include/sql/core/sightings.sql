-- Every identity that orders, interactions, consents or profiles mention. One row per identity.
-- grain:   identity
-- refresh: replace_sightings
-- keys:    sightings = identity
-- pii:     identity

with mentions as (
    select identity from staging.order_lines where fate = 'current'
    union all
    select identity from staging.interactions where fate = 'current'
    union all
    select identity from staging.consents where fate = 'current'
    union all
    select identity from staging.customers where fate = 'current'
)

select distinct identity
from mentions
where identity is not null
