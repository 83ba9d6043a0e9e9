-- What each customer did on each day with any activity. One row per customer per day.
-- grain:   customer_id, day
-- refresh: replace_days
-- keys:    days = day, customers = customer_id
-- pii:     none

with purchases as (
    select
        customer_id,
        day,
        count(distinct case when is_sale then order_id end) as orders,
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
    coalesce(purchases.customer_id, contacts.customer_id) as customer_id,
    coalesce(purchases.day, contacts.day) as day,
    coalesce(purchases.orders, 0) as orders,
    coalesce(purchases.gross_revenue, cast(0 as decimal(12, 2))) as gross_revenue,
    coalesce(purchases.net_revenue, cast(0 as decimal(12, 2))) as net_revenue,
    coalesce(contacts.interactions, 0) as interactions,
    coalesce(contacts.visits, 0) as visits,
    coalesce(contacts.searches, 0) as searches,
    coalesce(contacts.carts, 0) as carts,
    coalesce(contacts.complaints, 0) as complaints,
    coalesce(contacts.referrals, 0) as referrals
from purchases
full outer join contacts on purchases.customer_id = contacts.customer_id and purchases.day = contacts.day
