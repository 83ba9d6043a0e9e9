-- Who gave a low answer to a survey, their newest, not longer ago than the contact policy says, and had no case closed since:
-- they are asked what is wrong before anything is sold to them. One row per customer.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     none

select distinct scores.customer_id
from customers.scores as scores
cross join rules.detractors as bounds
left join customers.voice as voice on scores.customer_id = voice.customer_id
where scores.score <= case when scores.survey = 'csat' then bounds.csat_at_most else bounds.nps_at_most end
    and date_diff('day', scores.day, $day) < bounds.hold_days
    and (voice.last_resolved_at is null or voice.last_resolved_at <= scores.answered_at)
