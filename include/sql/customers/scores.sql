-- The newest answer of each person to each survey, wherever it was given: as sources tell it, or by a tap in a mail of ours.
-- One row per customer and survey (`csat`, 1 to 5; `nps`, 0 to 10).
-- grain:   customer_id, survey
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
    union all
    select
        coalesce(merged.customer_id, messages.customer_id) as customer_id,
        taps.survey,
        taps.score,
        taps.answered_at,
        taps.answered_date as day
    from ledger.survey_answers as taps
    inner join ledger.messages as messages on taps.message_id = messages.message_id
    left join core.merged_customers as merged on messages.customer_id = merged.former_id
    where taps.answered_date <= $day and (taps.superseded_date is null or taps.superseded_date > $day)
),

ranked as (
    select
        customer_id,
        survey,
        score,
        answered_at,
        day,
        row_number() over (partition by customer_id, survey order by answered_at desc, score) as place
    from answers
)

select customer_id, survey, score, answered_at, day
from ranked
where place = 1
