-- Whose churn risk changed on which day, against what earlier days found; the first score of a person is a change too.
-- One row per change. (All scores of all days would be a row per customer per day.)
-- grain:   day, customer_id
-- refresh: history
-- pii:     none

with told as (
    select
        customer_id,
        to_risk,
        row_number() over (partition by customer_id order by day desc) as place
    from churn.risk_changes
    where day < $day
)

select
    cast($day as date) as day,
    cast(scores.customer_id as text) as customer_id,
    cast(told.to_risk as text) as from_risk,
    cast(scores.churn_risk as text) as to_risk,
    cast(scores.churn_probability as double) as churn_probability
from churn.scores as scores
left join told on scores.customer_id = told.customer_id and told.place = 1
where told.to_risk is null or told.to_risk <> scores.churn_risk
