-- What the company sold and heard on each day, guests included. One row per day with any activity.
-- An order counts once, on its own day; money counts on the day of its line, so a refund on the day of the refund.
-- grain:   day
-- refresh: replace_days
-- keys:    days = day
-- pii:     none

with orders as (
    select
        ordered_date as day,
        count(*) as orders,
        count(*) filter (where customer_id is null) as guest_orders
    from core.orders
    where is_completed
    group by ordered_date
),

money as (
    select
        day,
        cast(sum(gross_revenue) as decimal(14, 2)) as gross_revenue,
        cast(sum(discounts) as decimal(14, 2)) as discounts,
        cast(sum(refunds) as decimal(14, 2)) as refunds,
        cast(sum(net_revenue) as decimal(14, 2)) as net_revenue,
        cast(sum(case when is_sale then quantity else 0 end) as decimal(16, 4)) as units
    from core.order_lines
    group by day
),

talk as (
    select day, count(*) as interactions
    from core.interactions
    group by day
),

people as (
    select day, count(*) as active_customers
    from core.customer_days
    where orders > 0 or interactions > 0
    group by day
)

select
    coalesce(money.day, talk.day) as day,
    coalesce(orders.orders, 0) as orders,
    coalesce(orders.guest_orders, 0) as guest_orders,
    coalesce(people.active_customers, 0) as active_customers,
    coalesce(money.gross_revenue, cast(0 as decimal(14, 2))) as gross_revenue,
    coalesce(money.discounts, cast(0 as decimal(14, 2))) as discounts,
    coalesce(money.refunds, cast(0 as decimal(14, 2))) as refunds,
    coalesce(money.net_revenue, cast(0 as decimal(14, 2))) as net_revenue,
    coalesce(money.units, cast(0 as decimal(16, 4))) as units,
    coalesce(talk.interactions, 0) as interactions
from money
full outer join talk on money.day = talk.day
left join orders on coalesce(money.day, talk.day) = orders.day
left join people on coalesce(money.day, talk.day) = people.day
