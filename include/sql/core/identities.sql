-- Which person each identity belongs to. One row per identity (`ref:…`, `email:…`, `phone:…` or `device:…`) of a person.
-- A person has the number of the reference, else of the e-mail or phone, that was seen first: who is joined by another
-- later keeps it. A device that nobody was seen to use is no person. `known_as` is the number that the identity has alone.
-- grain:   identity
-- refresh: replace_components
-- keys:    components = component, identities = identity, people = customer_id
-- pii:     identity, component, not known_as, not customer_id

with named as (
    select
        identity,
        component,
        first_day,
        case
            when starts_with(identity, 'ref:') then substring(identity, 5)
            when not starts_with(identity, 'device:') then 'x-' || substring(md5(identity), 1, 16)
        end as known_as
    from core.components
),

ranked as (
    select
        component,
        known_as,
        row_number() over (
            partition by component
            order by
                coalesce(first_day, date '9999-12-31'),
                case when starts_with(identity, 'ref:') then 0 when starts_with(identity, 'email:') then 1 else 2 end,
                identity
        ) as place
    from named
    where known_as is not null
)

select named.identity, named.component, named.known_as, ranked.known_as as customer_id
from named
inner join ranked on named.component = ranked.component and ranked.place = 1
