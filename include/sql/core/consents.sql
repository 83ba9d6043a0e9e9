-- What each person last said about being contacted, by channel and topic. One row per customer, channel and topic.
-- What people told us directly belongs to the address and to the person, so it follows to a new address. (What files say is
-- in the ledger too, for delivery's last look; here it comes from `staging`.)
-- Who was several customers before has several last words, one for each reference: the strictest holds.
-- A topic of its own is needed: a consent without a topic counts for the topic `all`. Where two statements carry the same
-- moment, the denial holds.
-- grain:   customer_id, channel, topic
-- refresh: rebuild
-- pii:     none

with told_by as (
    select told.content_hash, customers.customer_id
    from ledger.consents as told
    inner join core.customers as customers on told.address_hash = address_hash(customers.email)
    where told.source is null
    union
    select told.content_hash, identities.customer_id
    from ledger.consents as told
    inner join core.identities as identities on told.customer_ref = identities.known_as
    where told.source is null
),

stated as (
    select
        identities.customer_id,
        case when starts_with(consents.identity, 'ref:') then consents.identity end as reference,
        consents.channel,
        coalesce(consents.topic, 'all') as topic,
        consents.state,
        consents.recorded_at,
        consents._key as statement_id
    from staging.consents as consents
    inner join core.identities as identities on consents.identity = identities.identity
    where consents.fate = 'current'
    union all
    select
        told_by.customer_id,
        cast(null as text) as reference,
        told.channel,
        coalesce(told.topic, 'all') as topic,
        told.state,
        told.recorded_at,
        told.content_hash as statement_id
    from ledger.consents as told
    inner join told_by on told.content_hash = told_by.content_hash
    where told.recorded_date <= $day
),

persons as (
    select customer_id, identity as reference
    from core.identities
    where starts_with(identity, 'ref:')
),

by_reference as (
    select
        stated.customer_id,
        coalesce(stated.reference, persons.reference) as reference,
        stated.channel,
        stated.topic,
        stated.state,
        stated.recorded_at,
        stated.statement_id
    from stated
    left join persons on stated.reference is null and stated.customer_id = persons.customer_id
),

ranked as (
    select
        customer_id,
        reference,
        channel,
        topic,
        state,
        recorded_at,
        row_number() over (
            partition by customer_id, reference, channel, topic
            order by recorded_at desc, state asc, statement_id desc
        ) as place
    from by_reference
),

newest as (
    select
        customer_id,
        channel,
        topic,
        state,
        recorded_at,
        row_number() over (
            partition by customer_id, channel, topic
            order by state asc, recorded_at desc, reference
        ) as place
    from ranked
    where place = 1
)

select customer_id, channel, topic, state, recorded_at
from newest
where place = 1
