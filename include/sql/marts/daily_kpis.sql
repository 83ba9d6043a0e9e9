-- What each day sold, heard and sent. One row per day from the first activity on.
-- grain:   day
-- refresh: rebuild
-- pii:     none

with days as (
    select calendar.day
    from rules.calendar as calendar
    where calendar.day >= (select min(day) from core.day_totals) and calendar.day <= $day
),

first_orders as (
    select first_order_date as day, count(*) as customers
    from customers.purchases
    where first_order_date is not null
    group by first_order_date
),

second_orders as (
    select second_order_date as day, count(*) as customers
    from customers.purchases
    where second_order_date is not null
    group by second_order_date
),

buyers as (
    select
        days.day,
        sum(coalesce(first_orders.customers, 0)) over (order by days.day) as buyers_so_far,
        sum(coalesce(second_orders.customers, 0)) over (order by days.day) as repeat_buyers_so_far
    from days
    left join first_orders on days.day = first_orders.day
    left join second_orders on days.day = second_orders.day
),

sent as (
    select handed_date as day, count(*) as messages
    from ledger.messages
    where handed_date is not null and coalesce(arm, '') <> 'seed'
    group by handed_date
)

select
    days.day,  -- business day
    coalesce(totals.orders, 0) as orders,  -- completed orders, guests included (count)
    coalesce(totals.guest_orders, 0) as guest_orders,  -- completed orders without a customer (count)
    coalesce(totals.active_customers, 0) as active_customers,  -- customers who ordered or interacted (count)
    coalesce(first_orders.customers, 0) as new_customers,  -- customers with their first completed order (count)
    coalesce(totals.gross_revenue, cast(0 as decimal(14, 2))) as gross_revenue,  -- lines sold before discounts (business currency)
    coalesce(totals.discounts, cast(0 as decimal(14, 2))) as discounts,  -- discounts on lines sold (business currency)
    coalesce(totals.refunds, cast(0 as decimal(14, 2))) as refunds,  -- given back on this day, whenever sold (business currency)
    coalesce(totals.net_revenue, cast(0 as decimal(14, 2))) as net_revenue,  -- gross_revenue - discounts - refunds (business currency)
    coalesce(totals.units, cast(0 as decimal(16, 4))) as units,  -- units sold
    cast(money_per(totals.net_revenue, totals.orders) as decimal(12, 2)) as aov,  -- net_revenue / orders (business currency)
    cast(
        cast(buyers.repeat_buyers_so_far as double) / nullif(buyers.buyers_so_far, 0) as double
    ) as repeat_purchase_rate,  -- customers with 2 completed orders so far / with 1 (share)
    coalesce(totals.interactions, 0) as interactions,  -- interactions of known and unknown people (count)
    coalesce(sent.messages, 0) as messages_sent,  -- messages handed to a provider (count)
    $day as as_of_date,  -- the business day at whose end this was computed
    date_diff('day', days.day, $day) >= books.final_after_days as is_final  -- late rows are no longer expected
from days
cross join rules.metrics as books
left join core.day_totals as totals on days.day = totals.day
left join buyers on days.day = buyers.day
left join first_orders on days.day = first_orders.day
left join sent on days.day = sent.day
