-- Which person each identity belongs to. One row per identity (`ref:…`, `email:…` or `phone:…`).
-- A profile brings its reference, e-mail and phone together; where several profiles claim the same e-mail or phone, the
-- smallest reference has it. An identity that no profile claims is a person of its own.
-- grain:   identity
-- refresh: replace_sightings
-- keys:    sightings = identity, identities = identity, people = customer_id
-- pii:     identity

with claimed as (
    select identity, min(customer_id) as customer_id
    from core.claims
    group by identity
),

unclaimed as (
    select
        sightings.identity,
        case
            when starts_with(sightings.identity, 'ref:') then substring(sightings.identity, 5)
            else 'x-' || substring(md5(sightings.identity), 1, 16)
        end as customer_id
    from core.sightings as sightings
    where not exists (select 1 from claimed where claimed.identity = sightings.identity)
)

select identity, customer_id from claimed
union all
select identity, customer_id from unclaimed
