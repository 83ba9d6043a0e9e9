-- Every accepted customer profile that has happened by the day, and what became of it. One row per row landed.
-- Several rows may speak of the same customer profile (`_key`): the last
-- one in the newest version of the last file is current; rows equal to it are duplicates, others superseded. Files are
-- ordered by name, not by arrival: the order in which they come does not matter. Rows dated after the day wait for it.
-- grain:   _source, _file, _version, _row
-- refresh: replace_profiles
-- keys:    profiles = _key, sightings = identity, files = _file
-- pii:     email, phone, loyalty_card, name, birthday, postcode

with files as (
    select source, file, max(version) as version
    from raw.files
    where status = 'loaded'
    group by source, file
),

landed as (
    select
        rows.customer_ref,
        rows.email,
        rows.phone,
        rows.loyalty_card,
        rows.device_id,
        rows.name,
        rows.birthday,
        rows.gender,
        rows.country,
        rows.region,
        rows.city,
        rows.postcode,
        rows.locale,
        rows.timezone,
        rows.occupation,
        rows.income_band,
        rows.interests,
        rows.signup_at,
        rows.signup_date,
        rows.signup_channel,
        rows.acquisition_cost,
        rows.referred_by,
        rows.updated_at,
        rows.updated_date,
        rows._source,
        rows._file,
        rows._version,
        rows._row,
        rows._batch_id,
        rows._key,
        rows._hash,
        case when rows._version = files.version then 1 else 0 end as is_newest_version
    from raw.customers as rows
    inner join files on rows._source = files.source and rows._file = files.file
    where rows._day is null or rows._day <= $day
),

ranked as (
    select
        customer_ref,
        email,
        phone,
        loyalty_card,
        device_id,
        name,
        birthday,
        gender,
        country,
        region,
        city,
        postcode,
        locale,
        timezone,
        occupation,
        income_band,
        interests,
        signup_at,
        signup_date,
        signup_channel,
        acquisition_cost,
        referred_by,
        updated_at,
        updated_date,
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
    case
        when customer_ref is not null then 'ref:' || customer_ref
        when email is not null then 'email:' || lower(email)
        when phone is not null then 'phone:' || phone
    end as identity,
    customer_ref,
    email,
    phone,
    loyalty_card,
    device_id,
    name,
    birthday,
    gender,
    country,
    region,
    city,
    postcode,
    locale,
    timezone,
    occupation,
    income_band,
    interests,
    signup_at,
    signup_date,
    signup_channel,
    acquisition_cost,
    referred_by,
    updated_at,
    updated_date,
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
