-- What each person last said about being contacted, by channel and topic. One row per customer, channel and topic.
-- A topic of its own is needed: a consent without a topic counts for the topic `all`. Where two statements carry the same
-- moment, the denial holds.
-- grain:   customer_id, channel, topic
-- refresh: rebuild
-- pii:     none

with stated as (
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
        customers.customer_id,
        told.channel,
        coalesce(told.topic, 'all') as topic,
        told.state,
        told.recorded_at,
        told.content_hash as statement_id
    from ledger.consents as told
    inner join core.customers as customers on told.address_hash = address_hash(customers.email)
    where told.recorded_date <= $day
    union all
    select
        customers.customer_id,
        told.channel,
        coalesce(told.topic, 'all') as topic,
        told.state,
        told.recorded_at,
        told.content_hash as statement_id
    from ledger.consents as told
    inner join core.customers as customers on told.customer_ref = customers.customer_id
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
