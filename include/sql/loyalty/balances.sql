-- Points of each member, over all time. One row per customer with an entry.
-- grain:   customer_id
-- refresh: replace_customers
-- keys:    customers = customer_id
-- pii:     none

select
    customer_id,
    cast(sum(case when rule <> 'redeemed' then points else 0 end) as bigint) as points_earned,
    cast(-sum(case when rule = 'redeemed' then points else 0 end) as bigint) as points_redeemed,
    cast(sum(points) as bigint) as points_balance
from loyalty.points_entries
group by customer_id
