-- What each person told us: open tickets, when one was last closed, and the last answers to surveys. One row per customer
-- who has an open ticket or answered.
-- grain:   customer_id
-- refresh: replace_customers
-- keys:    customers = customer_id
-- pii:     none

with answers as (
    select
        customer_id,
        kind,
        coalesce(rating, value) as score,
        occurred_at,
        day,
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

cases as (
    select
        customer_id,
        count(case when opened_at is not null and (closed_at is null or opened_at > closed_at) then 1 end) as open_tickets,
        max(case when opened_at <= closed_at then closed_at end) as last_resolved_at
    from tickets
    group by customer_id
),

people as (
    select customer_id from answers
    union
    select customer_id from cases where open_tickets > 0
)

select
    people.customer_id,
    coalesce(cases.open_tickets, 0) as open_tickets,
    cases.last_resolved_at,
    csat.score as last_csat,
    csat.occurred_at as last_csat_at,
    csat.day as last_csat_day,
    nps.score as last_nps,
    nps.occurred_at as last_nps_at,
    nps.day as last_nps_day
from people
left join cases on people.customer_id = cases.customer_id
left join answers as csat on people.customer_id = csat.customer_id and csat.kind = 'survey_csat' and csat.place = 1
left join answers as nps on people.customer_id = nps.customer_id and nps.kind = 'survey_nps' and nps.place = 1
