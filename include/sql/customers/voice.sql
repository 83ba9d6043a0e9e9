-- What each person told us: open tickets and the last answers to surveys. One row per customer who said something.
-- grain:   customer_id
-- refresh: replace_customers
-- keys:    customers = customer_id
-- pii:     none

with answers as (
    select
        customer_id,
        kind,
        coalesce(rating, value) as score,
        row_number() over (partition by customer_id, kind order by occurred_at desc, event_id desc) as place
    from core.interactions
    where customer_id is not null and kind in ('survey_nps', 'survey_csat') and coalesce(rating, value) is not null
),

tickets as (
    select
        customer_id,
        ticket_id,
        max(case when kind in ('ticket_opened', 'complaint') then occurred_at end) as opened_at,
        max(case when kind = 'ticket_closed' then occurred_at end) as closed_at
    from core.interactions
    where customer_id is not null and ticket_id is not null
    group by customer_id, ticket_id
),

open_tickets as (
    select customer_id, count(*) as open_tickets
    from tickets
    where opened_at is not null and (closed_at is null or opened_at > closed_at)
    group by customer_id
),

people as (
    select customer_id from answers
    union
    select customer_id from open_tickets
)

select
    people.customer_id,
    coalesce(open_tickets.open_tickets, 0) as open_tickets,
    csat.score as last_csat,
    nps.score as last_nps
from people
left join open_tickets on people.customer_id = open_tickets.customer_id
left join answers as csat on people.customer_id = csat.customer_id and csat.kind = 'survey_csat' and csat.place = 1
left join answers as nps on people.customer_id = nps.customer_id and nps.kind = 'survey_nps' and nps.place = 1
