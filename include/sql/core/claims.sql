-- The identities that a profile claims: its reference, its e-mail, its phone. One row per profile and identity.
-- grain:   _key, identity
-- refresh: replace_profiles
-- keys:    profiles = _key, sightings = identity
-- pii:     identity

with profiles as (
    select _key, customer_ref, lower(email) as email, phone
    from staging.customers
    where fate = 'current'
)

select _key, 'ref:' || customer_ref as identity, customer_ref as customer_id from profiles
union all
select _key, 'email:' || email as identity, customer_ref as customer_id from profiles where email is not null
union all
select _key, 'phone:' || phone as identity, customer_ref as customer_id from profiles where phone is not null
