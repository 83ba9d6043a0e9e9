-- Who filled a cart, left it alone for long enough, and has not ordered since. One row per campaign and customer.
-- grain:   campaign, customer_id
-- refresh: rebuild
-- pii:     none

with carts as (
    select
        customer_id,
        event_id,
        occurred_at,
        day,
        row_number() over (partition by customer_id order by occurred_at desc, event_id) as place
    from core.interactions
    where customer_id is not null and kind in ('add_to_cart', 'checkout')
        and exists (select 1 from rules.cart_triggers)
        and day <= $day and day > cast($day - interval 40 day as date)
)

select triggers.campaign, carts.customer_id, carts.event_id as occurrence, carts.day as occasion_day
from carts
inner join rules.cart_triggers as triggers
    on carts.occurred_at > triggers.from_moment and carts.occurred_at <= triggers.to_moment
where carts.place = 1
    and not exists (
        select 1
        from core.orders as orders
        where orders.customer_id = carts.customer_id and orders.is_completed and orders.ordered_at >= carts.occurred_at
    )
