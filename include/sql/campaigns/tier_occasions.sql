-- Who came into a higher or lower tier, and is there still. One row per campaign and customer.
-- grain:   campaign, customer_id
-- refresh: rebuild
-- pii:     none

with ranked as (
    select
        customer_id,
        day,
        change,
        row_number() over (partition by customer_id order by day desc) as place
    from loyalty.tier_changes
    where day <= $day and day > cast($day - interval 30 day as date)
)

select
    triggers.campaign,
    ranked.customer_id,
    cast(ranked.day as text) as occurrence,
    ranked.day as occasion_day
from ranked
inner join rules.tier_triggers as triggers on ranked.change = triggers.change
where ranked.place = 1 and date_diff('day', ranked.day, $day) < triggers.good_for_days
