-- What the company sold and heard on each day, guests included. One row per day with any activity.
-- grain:   day
-- refresh: replace_days
-- keys:    days = day
-- pii:     none

with sales as (
    select
        day,
        count(distinct case when is_sale then order_id end) as orders,
        count(distinct case when is_sale and customer_id is null then order_id end) as guest_orders,
        cast(sum(gross_revenue) as decimal(14, 2)) as gross_revenue,
        cast(sum(discounts) as decimal(14, 2)) as discounts,
        cast(sum(refunds) as decimal(14, 2)) as refunds,
        cast(sum(net_revenue) as decimal(14, 2)) as net_revenue,
        cast(sum(case when is_sale then quantity else 0 end) as decimal(14, 3)) as units
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
    group by day
)

select
    coalesce(sales.day, talk.day) as day,
    coalesce(sales.orders, 0) as orders,
    coalesce(sales.guest_orders, 0) as guest_orders,
    coalesce(people.active_customers, 0) as active_customers,
    coalesce(sales.gross_revenue, cast(0 as decimal(14, 2))) as gross_revenue,
    coalesce(sales.discounts, cast(0 as decimal(14, 2))) as discounts,
    coalesce(sales.refunds, cast(0 as decimal(14, 2))) as refunds,
    coalesce(sales.net_revenue, cast(0 as decimal(14, 2))) as net_revenue,
    coalesce(sales.units, cast(0 as decimal(14, 3))) as units,
    coalesce(talk.interactions, 0) as interactions
from sales
full outer join talk on sales.day = talk.day
left join people on coalesce(sales.day, talk.day) = people.day
