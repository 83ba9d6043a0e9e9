-- Lines of orders with their amounts: what was sold and what was given back. One row per line.
-- A negative quantity, or the status returned or refunded, gives money back on the day of the line. A returned or refunded
-- line with a positive quantity is a sale and its refund at once, unless it names the order that it returns: then it is the
-- refund alone. Cancelled and pending lines count for nothing. `cost` is of what stays sold.
-- grain:   line_id
-- refresh: replace_orders via identities, skus
-- keys:    orders = order_id, origins = sale_id, customers = customer_id, days = day
-- pii:     none

with lines as (
    select
        _key as line_id,
        order_id,
        identity,
        ordered_at,
        ordered_date as day,
        sku,
        product_name,
        category,
        coalesce(status, 'completed') as status,
        coalesce(channel, 'web') as channel,
        coupon_code,
        campaign_ref,
        returns_order_id,
        currency,
        _source as source,
        quantity,
        cast(quantity * unit_price as decimal(12, 2)) as amount,
        cast(abs(coalesce(discount, 0)) as decimal(12, 2)) as discount,
        cast(coalesce(tax, 0) as decimal(12, 2)) as tax,
        cast(coalesce(shipping, 0) as decimal(12, 2)) as shipping,
        unit_cost
    from staging.order_lines
    where fate = 'current'
),

classified as (
    select
        lines.line_id, lines.order_id, lines.identity, lines.ordered_at, lines.day, lines.sku, lines.product_name,
        lines.category, lines.status, lines.channel, lines.coupon_code, lines.campaign_ref, lines.returns_order_id,
        lines.currency, lines.source, lines.quantity, lines.amount, lines.discount, lines.tax, lines.shipping,
        coalesce(lines.unit_cost, products.unit_cost) as unit_cost,
        coalesce(lines.category, products.category) as known_category,
        coalesce(lines.product_name, products.name) as known_name,
        lines.quantity > 0
        and (
            lines.status = 'completed'
            or (lines.status in ('returned', 'refunded') and lines.returns_order_id is null)
        ) as is_sale,
        (lines.quantity < 0 and lines.status in ('completed', 'returned', 'refunded'))
        or lines.status in ('returned', 'refunded') as is_refund
    from lines
    left join core.products as products on lines.sku = products.sku
)

select
    classified.line_id,
    classified.order_id,
    identities.customer_id,
    classified.ordered_at,
    classified.day,
    classified.sku,
    classified.known_name as product_name,
    classified.known_category as category,
    classified.status,
    classified.channel,
    classified.coupon_code,
    classified.campaign_ref,
    classified.returns_order_id,
    coalesce(classified.returns_order_id, classified.order_id) as sale_id,  -- the order by which it was sold
    classified.currency,
    classified.source,
    classified.quantity,
    classified.is_sale,
    classified.is_refund,
    case when classified.is_sale then classified.amount else cast(0 as decimal(12, 2)) end as gross_revenue,
    case when classified.is_sale then classified.discount else cast(0 as decimal(12, 2)) end as discounts,
    case
        when classified.is_refund then cast(abs(classified.amount) - classified.discount as decimal(12, 2))
        else cast(0 as decimal(12, 2))
    end as refunds,
    cast(
        case when classified.is_sale then classified.amount - classified.discount else 0 end
        - case when classified.is_refund then abs(classified.amount) - classified.discount else 0 end
        as decimal(12, 2)
    ) as net_revenue,
    cast(
        (
            case when classified.is_sale then classified.quantity else 0 end
            - case when classified.is_refund then abs(classified.quantity) else 0 end
        ) * classified.unit_cost as decimal(12, 2)
    ) as cost,
    classified.tax,
    classified.shipping
from classified
left join core.identities as identities on classified.identity = identities.identity
