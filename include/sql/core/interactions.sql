-- What people did and said, with who it was. One row per interaction.
-- grain:   event_id
-- refresh: replace_events via identities
-- keys:    events = event_id, origins = event_id, customers = customer_id, days = day
-- pii:     comment

select
    interactions._key as event_id,
    identities.customer_id,
    interactions.occurred_at,
    interactions.occurred_date as day,
    interactions.channel,
    interactions.kind,
    interactions.sku,
    interactions.value,
    interactions.rating,
    interactions.text as comment,
    interactions.ticket_id
from staging.interactions as interactions
left join core.identities as identities on interactions.identity = identities.identity
where interactions.fate = 'current'
