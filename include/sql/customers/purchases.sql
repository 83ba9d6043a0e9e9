-- The purchase history of each person who has ever ordered. One row per customer.
-- grain:   customer_id
-- refresh: replace_customers
-- keys:    customers = customer_id
-- pii:     none

with orders as (
    select
        customer_id, order_id, ordered_at, ordered_date, is_completed, units, gross_revenue, discounts, refunds,
        net_revenue
    from core.orders
    where customer_id is not null
),

purchase_days as (
    select distinct customer_id, ordered_date
    from orders
    where is_completed
),

rhythm as (
    select
        customer_id,
        count(*) as purchase_days,
        cast(date_diff('day', min(ordered_date), max(ordered_date)) as double)
        / nullif(count(*) - 1, 0) as mean_gap_days
    from purchase_days
    group by customer_id
),

numbered as (
    select
        customer_id,
        order_id,
        ordered_date,
        row_number() over (partition by customer_id order by ordered_at, order_id) as place
    from orders
    where is_completed
),

second_orders as (
    select customer_id, ordered_date as second_order_date
    from numbered
    where place = 2
),

totals as (
    select
        customer_id,
        count(*) filter (where is_completed) as orders,
        min(case when is_completed then ordered_date end) as first_order_date,
        max(case when is_completed then ordered_date end) as last_order_date,
        cast(sum(units) as decimal(16, 4)) as units,
        cast(sum(gross_revenue) as decimal(14, 2)) as gross_revenue,
        cast(sum(discounts) as decimal(14, 2)) as discounts,
        cast(sum(refunds) as decimal(14, 2)) as refunds,
        cast(sum(net_revenue) as decimal(14, 2)) as net_revenue
    from orders
    group by customer_id
)

select
    totals.customer_id,
    totals.orders,
    totals.first_order_date,
    second_orders.second_order_date,
    totals.last_order_date,
    coalesce(rhythm.purchase_days, 0) as purchase_days,
    rhythm.mean_gap_days,
    totals.units,
    totals.gross_revenue,
    totals.discounts,
    totals.refunds,
    totals.net_revenue
from totals
left join rhythm on totals.customer_id = rhythm.customer_id
left join second_orders on totals.customer_id = second_orders.customer_id
