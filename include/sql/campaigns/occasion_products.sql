-- What an occasion is about: the articles in a cart, of an order or an event, or the one that is used up. What the catalogue
-- has without name and price is left out, for mails show both. Twelve rows per campaign and customer at most.
-- grain:   campaign, customer_id, place
-- refresh: rebuild
-- pii:     none

with named as (
    -- what went into the cart in the week before it was left, and was not bought in the meantime
    select occasions.campaign, occasions.customer_id, events.sku, max(events.occurred_at) as moment
    from campaigns.occasions as occasions
    inner join rules.cart_triggers as triggers on occasions.campaign = triggers.campaign
    inner join core.interactions as left_alone
        on occasions.occurrence = left_alone.event_id
        and left_alone.day > cast($day - interval 40 day as date)
    inner join core.interactions as events
        on occasions.customer_id = events.customer_id
        and events.kind = 'add_to_cart'
        and events.occurred_at <= left_alone.occurred_at
        and events.day > cast(left_alone.day - interval 7 day as date)
    where exists (select 1 from rules.cart_triggers)
        and not exists (
            select 1
            from core.orders as orders
            where orders.customer_id = occasions.customer_id
                and orders.is_completed
                and orders.ordered_at >= events.occurred_at
        )
    group by occasions.campaign, occasions.customer_id, events.sku
    union all
    select occasions.campaign, occasions.customer_id, events.sku, events.occurred_at as moment
    from campaigns.occasions as occasions
    inner join rules.event_triggers as triggers on occasions.campaign = triggers.campaign
    inner join core.interactions as events
        on triggers.kind = events.kind
        and occasions.occurrence = events.event_id
        and events.day > cast($day - interval 120 day as date)
    where exists (select 1 from rules.event_triggers where kind <> 'order')
    union all
    select occasions.campaign, occasions.customer_id, lines.sku, max(lines.ordered_at) as moment
    from campaigns.occasions as occasions
    inner join rules.event_triggers as triggers on occasions.campaign = triggers.campaign and triggers.kind = 'order'
    inner join core.order_lines as lines
        on occasions.occurrence = lines.order_id
        and lines.is_sale
        and lines.day > cast($day - interval 120 day as date)
    where exists (select 1 from rules.event_triggers where kind = 'order')
    group by occasions.campaign, occasions.customer_id, lines.sku
    union all
    select occasions.campaign, occasions.customer_id, used_up.sku, null as moment
    from campaigns.occasions as occasions
    inner join campaigns.replenishment_occasions as used_up
        on occasions.campaign = used_up.campaign
        and occasions.customer_id = used_up.customer_id
        and occasions.occurrence = used_up.occurrence
),

ranked as (
    select
        named.campaign,
        named.customer_id,
        named.sku,
        row_number() over (
            partition by named.campaign, named.customer_id
            order by named.moment desc, named.sku
        ) as place
    from named
    inner join core.products as products
        on named.sku = products.sku
        and products.is_active
        and products.name is not null
        and products.price is not null
)

select campaign, customer_id, place, sku
from ranked
where place <= 12
