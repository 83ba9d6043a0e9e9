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

categories as (
    select
        customer_id,
        category,
        count(*) over (partition by customer_id) as distinct_categories,
        row_number() over (partition by customer_id order by spent desc, category) as place
    from by_category
),

by_channel as (
    select customer_id, channel, sum(spent) as spent
    from bought
    group by customer_id, channel
),

channels as (
    select
        customer_id,
        channel,
        row_number() over (partition by customer_id order by spent desc, channel) as place
    from by_channel
)

select
    channels.customer_id,
    categories.category as favourite_category,
    coalesce(categories.distinct_categories, 0) as distinct_categories,
    channels.channel as favourite_channel
from channels
left join categories on channels.customer_id = categories.customer_id and categories.place = 1
where channels.place = 1
