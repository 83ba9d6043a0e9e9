-- What each person likes best, by money spent. One row per customer who has bought something.
-- grain:   customer_id
-- refresh: replace_customers
-- keys:    customers = customer_id
-- pii:     none

with bought as (
    select customer_id, category, channel, sum(gross_revenue) as spent
    from core.order_lines
    where customer_id is not null and is_sale
    group by customer_id, category, channel
),

by_category as (
    select customer_id, category, sum(spent) as spent
    from bought
    where category is not null
    group by customer_id, category
),

by_channel as (
    select customer_id, channel, sum(spent) as spent
    from bought
    group by customer_id, channel
),

ranked as (
    select
        customer_id,
        'category' as kind,
        category as name,
        row_number() over (partition by customer_id order by spent desc, category) as place
    from by_category
    union all
    select
        customer_id,
        'channel' as kind,
        channel as name,
        row_number() over (partition by customer_id order by spent desc, channel) as place
    from by_channel
)

select
    customer_id,
    max(case when kind = 'category' and place = 1 then name end) as favourite_category,
    count(*) filter (where kind = 'category') as distinct_categories,
    max(case when kind = 'channel' and place = 1 then name end) as favourite_channel
from ranked
group by customer_id
