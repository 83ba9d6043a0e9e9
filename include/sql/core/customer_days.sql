-- What each customer did on each day with any activity. One row per customer per day.
-- An order counts once, on its own day; money counts on the day of its line, so a refund on the day of the refund.
-- grain:   customer_id, day
-- refresh: replace_days
-- keys:    days = day, customers = customer_id
-- pii:     none

with orders as (
    select customer_id, ordered_date as day, count(*) as orders
    from core.orders
    where customer_id is not null and is_completed
    group by customer_id, ordered_date
),

money as (
    select
        customer_id,
        day,
        cast(sum(gross_revenue) as decimal(12, 2)) as gross_revenue,
        cast(sum(net_revenue) as decimal(12, 2)) as net_revenue
    from core.order_lines
    where customer_id is not null
    group by customer_id, day
),

contacts as (
    select
        customer_id,
        day,
        count(*) as interactions,
        count(*) filter (where kind in ('page_view', 'product_view', 'app_open', 'store_visit')) as visits,
        count(*) filter (where kind = 'search') as searches,
        count(*) filter (where kind = 'add_to_cart') as carts,
        count(*) filter (where kind = 'complaint') as complaints,
        count(*) filter (where kind = 'referral') as referrals
    from core.interactions
    where customer_id is not null
    group by customer_id, day
)

select
    coalesce(money.customer_id, orders.customer_id, contacts.customer_id) as customer_id,
    coalesce(money.day, orders.day, contacts.day) as day,
    coalesce(orders.orders, 0) as orders,
    coalesce(money.gross_revenue, cast(0 as decimal(12, 2))) as gross_revenue,
    coalesce(money.net_revenue, cast(0 as decimal(12, 2))) as net_revenue,
    coalesce(contacts.interactions, 0) as interactions,
    coalesce(contacts.visits, 0) as visits,
    coalesce(contacts.searches, 0) as searches,
    coalesce(contacts.carts, 0) as carts,
    coalesce(contacts.complaints, 0) as complaints,
    coalesce(contacts.referrals, 0) as referrals
from money
full outer join orders on money.customer_id = orders.customer_id and money.day = orders.day
full outer join contacts
    on coalesce(money.customer_id, orders.customer_id) = contacts.customer_id
    and coalesce(money.day, orders.day) = contacts.day
