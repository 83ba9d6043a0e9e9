-- What each person did lately, in windows that end with the day. One row per customer active in the last 365 days.
-- Sessions are days with a visit: two pages looked at are one visit.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     none

select
    customer_id,
    cast(sum(orders) as bigint) as orders_12m,
    cast(sum(net_revenue) as decimal(14, 2)) as net_revenue_12m,
    cast(sum(case when date_diff('day', day, $day) < 30 then interactions else 0 end) as bigint) as interactions_30d,
    count(*) filter (where visits > 0 and date_diff('day', day, $day) < 30) as sessions_30d,
    cast(sum(case when date_diff('day', day, $day) < 30 then carts else 0 end) as bigint) as carts_30d,
    cast(sum(case when date_diff('day', day, $day) < 30 then searches else 0 end) as bigint) as searches_30d,
    cast(sum(case when date_diff('day', day, $day) < 90 then complaints else 0 end) as bigint) as complaints_90d,
    cast(sum(referrals) as bigint) as referrals
from core.customer_days
where day > cast($day - interval 365 day as date)
group by customer_id
