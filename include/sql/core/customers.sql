-- What we were told about each person, the newest profile. One row per customer.
-- grain:   customer_id
-- refresh: rebuild
-- keys:    customers = customer_id
-- pii:     email, phone, name, birthday, postcode

with people as (
    select distinct customer_id from core.identities
),

profiles as (
    select
        customer_ref, lower(email) as email, phone, name, birthday, gender, country, region, city, postcode, locale,
        timezone, interests, signup_date, signup_channel, acquisition_cost, referred_by
    from staging.customers
    where fate = 'current'
),

emails as (
    select customer_id, min(substring(identity, 7)) as email
    from core.identities
    where starts_with(identity, 'email:')
    group by customer_id
)

select
    people.customer_id,
    coalesce(profiles.email, emails.email) as email,
    profiles.phone,
    profiles.name,
    profiles.birthday,
    lower(profiles.gender) as gender,
    upper(profiles.country) as country,
    profiles.region,
    profiles.city,
    profiles.postcode,
    coalesce(profiles.locale, 'en') as locale,
    profiles.timezone,
    profiles.interests,
    profiles.signup_date,
    profiles.signup_channel,
    profiles.acquisition_cost,
    profiles.referred_by
from people
left join profiles on people.customer_id = profiles.customer_ref
left join emails on people.customer_id = emails.customer_id
