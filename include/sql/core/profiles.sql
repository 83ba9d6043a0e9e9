-- Each profile with the person it is of. One row per profile.
-- grain:   profile
-- refresh: replace_profiles via identities
-- keys:    profiles = profile, people = customer_id
-- pii:     email, phone, name, birthday, postcode

select
    profiles._key as profile,
    identities.customer_id,
    profiles.customer_ref,
    profiles.updated_at,
    lower(profiles.email) as email,
    profiles.phone,
    profiles.name,
    profiles.birthday,
    lower(profiles.gender) as gender,
    upper(profiles.country) as country,
    profiles.region,
    profiles.city,
    profiles.postcode,
    profiles.locale,
    profiles.timezone,
    profiles.interests,
    profiles.signup_date,
    profiles.signup_channel,
    profiles.acquisition_cost,
    profiles.referred_by
from staging.customers as profiles
inner join core.identities as identities on profiles.identity = identities.identity
where profiles.fate = 'current'
