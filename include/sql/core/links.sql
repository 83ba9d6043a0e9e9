-- Which identifiers are named together in a row, and since when. One row per identity and identifier named with it.
-- The identity is the strongest identifier of a row: a reference, else an e-mail, a phone, a device; it is named with
-- itself. An e-mail is linked in its plain form, by the rules without tag and dots, so that its spellings meet there.
-- What looks like no address and no number links nothing. Their names say which they are to whoever may not see them:
-- `ref:7` as it is, others hashed.
-- grain:   identity, linked
-- refresh: replace_sightings
-- keys:    sightings = identity, identifiers = linked
-- pii:     identity, linked, not identity_name, not linked_name

with mentions as (
    select
        identity, email, phone, cast(null as text) as loyalty_card, cast(null as text) as device_id,
        min(ordered_date) as first_day
    from staging.order_lines
    where fate = 'current' and identity is not null
    group by identity, email, phone
    union all
    select
        identity, email, phone, cast(null as text) as loyalty_card, device_id, min(occurred_date) as first_day
    from staging.interactions
    where fate = 'current' and identity is not null
    group by identity, email, phone, device_id
    union all
    select
        identity, email, cast(null as text) as phone, cast(null as text) as loyalty_card,
        cast(null as text) as device_id, min(recorded_date) as first_day
    from staging.consents
    where fate = 'current' and identity is not null
    group by identity, email
    union all
    select identity, email, phone, loyalty_card, device_id, min(coalesce(signup_date, updated_date)) as first_day
    from staging.customers
    where fate = 'current' and identity is not null
    group by identity, email, phone, loyalty_card, device_id
),

written as (
    select
        identity,
        first_day,
        phone,
        loyalty_card,
        device_id,
        split_part(lower(email), '@', 1) as mailbox,
        split_part(lower(email), '@', 2) as domain
    from mentions
),

plain as (
    select
        written.identity,
        written.first_day,
        written.phone,
        written.loyalty_card,
        written.device_id,
        case
            when domains.ignores_dots then replace(split_part(written.mailbox, '+', 1), '.', '')
            when domains.domain is not null then split_part(written.mailbox, '+', 1)
            else written.mailbox
        end || '@' || coalesce(domains.same_as, written.domain) as email
    from written
    left join rules.mail_domains as domains on written.domain = domains.domain
),

links as (
    select identity, identity as linked, first_day from plain
    union all
    select identity, 'email:' || email as linked, first_day from plain where email like '%_@_%.__%'
    union all
    select identity, 'phone:' || phone as linked, first_day from plain where starts_with(phone, '+')
    union all
    select identity, 'card:' || loyalty_card as linked, first_day from plain where loyalty_card is not null
    union all
    select identity, 'device:' || device_id as linked, first_day from plain where device_id is not null
)

select
    identity,
    linked,
    case
        when starts_with(identity, 'ref:') then identity
        else split_part(identity, ':', 1) || '#' || substring(md5(identity), 1, 16)
    end as identity_name,
    case
        when starts_with(linked, 'ref:') then linked
        else split_part(linked, ':', 1) || '#' || substring(md5(linked), 1, 16)
    end as linked_name,
    min(first_day) as first_day
from links
group by identity, linked
