-- What we were told about each person: of several profiles, in several systems, the newest. One row per customer.
-- An e-mail is given only if it looks like one: one @, a dot in the domain, no blank.
-- grain:   customer_id
-- refresh: replace_people
-- keys:    people = customer_id, customers = customer_id
-- pii:     email, phone, name, birthday, postcode

with people as (
    select
        customer_id,
        min(case when starts_with(identity, 'email:') then substring(identity, 7) end) as email
    from core.identities
    group by customer_id
),

ranked as (
    select
        customer_id, email, phone, name, birthday, gender, country, region, city, postcode, locale, timezone, interests,
        signup_date, signup_channel, acquisition_cost, referred_by,
        row_number() over (partition by customer_id order by updated_at desc, customer_ref, profile) as place
    from core.profiles
),

profiles as (
    select
        customer_id, email, phone, name, birthday, gender, country, region, city, postcode, locale, timezone, interests,
        signup_date, signup_channel, acquisition_cost, referred_by
    from ranked
    where place = 1
),

addresses as (
    select people.customer_id, coalesce(profiles.email, people.email) as email
    from people
    left join profiles on people.customer_id = profiles.customer_id
)

select
    people.customer_id,
    addresses.email,
    profiles.phone,
    profiles.name,
    profiles.birthday,
    profiles.gender,
    profiles.country,
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
left join profiles on people.customer_id = profiles.customer_id
left join addresses
    on people.customer_id = addresses.customer_id
    and addresses.email like '%_@_%.__%'
    and addresses.email not like '%@%@%'
    and addresses.email not like '% %'
