-- Orders as sold and given back. One row per order.
-- An order is completed when it has at least one line that was sold. A return that comes under a number of its own is an
-- order that is not completed and has negative net revenue, on the day of the return.
-- grain:   order_id
-- refresh: replace_orders
-- keys:    orders = order_id, customers = customer_id, days = ordered_date
-- pii:     none

select
    order_id,  -- the order; a return under a number of its own is an order too
    min(customer_id) as customer_id,  -- the person after identity resolution; null for guests
    min(ordered_at) as ordered_at,  -- moment of the order, UTC
    min(day) as ordered_date,  -- business day of the order
    case
        when max(case when is_sale then 1 else 0 end) = 1 and sum(refunds) >= sum(gross_revenue - discounts)
        and max(case when is_refund then 1 else 0 end) = 1 then 'refunded'
        when max(case when is_sale then 1 else 0 end) = 1 then 'completed'
        when max(case when is_refund then 1 else 0 end) = 1 then 'returned'
        else max(status)
    end as status,  -- completed, refunded (all given back), returned (a return of its own), cancelled or pending
    max(case when is_sale then 1 else 0 end) = 1 as is_completed,  -- has at least one line that was sold
    count(*) as lines,  -- lines of the order (count)
    cast(sum(case when is_sale then quantity else 0 end) as decimal(16, 4)) as units,  -- units sold
    cast(sum(gross_revenue) as decimal(12, 2)) as gross_revenue,  -- lines sold before discounts (business currency)
    cast(sum(discounts) as decimal(12, 2)) as discounts,  -- discounts on lines sold (business currency)
    cast(sum(refunds) as decimal(12, 2)) as refunds,  -- given back on this order (business currency)
    cast(sum(net_revenue) as decimal(12, 2)) as net_revenue,  -- gross_revenue - discounts - refunds, without tax and shipping (business currency)
    min(currency) as currency,  -- ISO 4217 code
    min(channel) as channel,  -- web, app, store, phone or marketplace
    min(source) as source,  -- name of the source that brought it
    max(campaign_ref) as campaign_ref,  -- campaign named by the order itself, where the shop knows it
    min(returns_order_id) as returns_order_id  -- the order that a return belongs to
from core.order_lines
group by order_id
