-- What each person last said about being contacted, by channel and topic. One row per customer, channel and topic.
-- What people told us directly belongs to the address and to the person, so it follows to a new address.
-- A topic of its own is needed: a consent without a topic counts for the topic `all`. Where two statements carry the same
-- moment, the denial holds.
-- grain:   customer_id, channel, topic
-- refresh: rebuild
-- pii:     none

with told_by as (
    select told.content_hash, customers.customer_id
    from ledger.consents as told
    inner join core.customers as customers on told.address_hash = address_hash(customers.email)
    union
    select told.content_hash, customers.customer_id
    from ledger.consents as told
    inner join core.customers as customers on told.customer_ref = customers.customer_id
),

stated as (
    select
        identities.customer_id,
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
        told.channel,
        coalesce(told.topic, 'all') as topic,
        told.state,
        told.recorded_at,
        told.content_hash as statement_id
    from ledger.consents as told
    inner join told_by on told.content_hash = told_by.content_hash
    where told.recorded_date <= $day
),

ranked as (
    select
        customer_id,
        channel,
        topic,
        state,
        recorded_at,
        row_number() over (
            partition by customer_id, channel, topic
            order by recorded_at desc, state asc, statement_id desc
        ) as place
    from stated
)

select customer_id, channel, topic, state, recorded_at
from ranked
where place = 1
