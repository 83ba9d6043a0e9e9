-- Who gave a low answer to a survey, their newest, not longer ago than the contact policy says, and had no case closed since:
-- they are asked what is wrong before anything is sold to them. One row per customer.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     none

with answers as (
    select customer_id, 'csat' as survey, last_csat as score, last_csat_at as answered_at, last_csat_day as day
    from customers.voice
    where last_csat is not null
    union all
    select customer_id, 'nps' as survey, last_nps as score, last_nps_at as answered_at, last_nps_day as day
    from customers.voice
    where last_nps is not null
),

newest as (
    select
        customer_id,
        survey,
        score,
        answered_at,
        day,
        row_number() over (partition by customer_id, survey order by answered_at desc, score) as place
    from answers
)

select distinct newest.customer_id
from newest
cross join rules.detractors as bounds
inner join customers.voice as voice on newest.customer_id = voice.customer_id
where newest.place = 1
    and newest.score <= case when newest.survey = 'csat' then bounds.csat_at_most else bounds.nps_at_most end
    and date_diff('day', newest.day, $day) < bounds.hold_days
    and (voice.last_resolved_at is null or voice.last_resolved_at <= newest.answered_at)
