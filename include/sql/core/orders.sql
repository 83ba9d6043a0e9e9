-- Orders as sold and given back. One row per order.
-- An order is completed when it has at least one line that was sold. A return that comes under a number of its own is an
-- order that is not completed and has negative net revenue, on the day of the return.
-- grain:   order_id
-- refresh: replace_orders
-- keys:    orders = order_id, customers = customer_id, days = ordered_date
-- pii:     none

select
    order_id,
    min(customer_id) as customer_id,
    min(ordered_at) as ordered_at,
    min(day) as ordered_date,
    case
        when max(case when is_sale then 1 else 0 end) = 1 and sum(refunds) >= sum(gross_revenue - discounts)
        and max(case when is_refund then 1 else 0 end) = 1 then 'refunded'
        when max(case when is_sale then 1 else 0 end) = 1 then 'completed'
        when max(case when is_refund then 1 else 0 end) = 1 then 'returned'
        else min(status)
    end as status,
    max(case when is_sale then 1 else 0 end) = 1 as is_completed,
    count(*) as lines,
    cast(sum(case when is_sale then quantity else 0 end) as decimal(12, 3)) as units,
    cast(sum(gross_revenue) as decimal(12, 2)) as gross_revenue,
    cast(sum(discounts) as decimal(12, 2)) as discounts,
    cast(sum(refunds) as decimal(12, 2)) as refunds,
    cast(sum(net_revenue) as decimal(12, 2)) as net_revenue,
    min(currency) as currency,
    min(channel) as channel,
    min(source) as source,
    max(campaign_ref) as campaign_ref,
    min(returns_order_id) as returns_order_id
from core.order_lines
group by order_id
