-- All that segments and campaigns may ask about a person, as of the end of the day. One row per customer.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     birthday, not age, not email_domain

with email_consents as (
    select customer_id
    from core.consents
    where channel = 'email'
    group by customer_id
    having max(case when state = 'granted' then 1 else 0 end) = 1
        and max(case when topic = 'all' and state = 'denied' then 1 else 0 end) = 0
),

suppressed as (
    select distinct address_hash
    from ledger.suppressions
    where created_date <= $day and (expires_date is null or expires_date > $day)
)

select
    customers.customer_id,
    customers.locale,
    customers.country,
    customers.region,
    customers.city,
    customers.gender,
    customers.birthday,
    cast(extract(year from $day) - extract(year from customers.birthday) as bigint)
    - case
        when extract(month from $day) * 100 + extract(day from $day)
            < extract(month from customers.birthday) * 100 + extract(day from customers.birthday) then 1
        else 0
    end as age,
    customers.timezone,
    customers.interests,
    customers.signup_date,
    customers.signup_channel,
    customers.acquisition_cost,
    lower(split_part(customers.email, '@', 2)) as email_domain,
    customers.email is not null as has_email,
    email_consents.customer_id is not null as has_email_consent,
    suppressed.address_hash is not null as is_suppressed,
    coalesce(purchases.orders, 0) as orders,
    coalesce(purchases.net_revenue, cast(0 as decimal(14, 2))) as net_revenue,
    cast(money_per(purchases.net_revenue, purchases.orders) as decimal(12, 2)) as aov,
    coalesce(activity.orders_12m, 0) as orders_12m,
    coalesce(activity.net_revenue_12m, cast(0 as decimal(14, 2))) as net_revenue_12m,
    purchases.first_order_date,
    purchases.last_order_date,
    date_diff('day', purchases.last_order_date, $day) as recency_days,
    purchases.purchase_days,
    purchases.mean_gap_days,
    favourites.favourite_category,
    favourites.favourite_channel,
    coalesce(favourites.distinct_categories, 0) as distinct_categories,
    cast(purchases.refunds as double) / nullif(cast(purchases.gross_revenue - purchases.discounts as double), 0) as return_rate,
    cast(purchases.discounts as double) / nullif(cast(purchases.gross_revenue as double), 0) as discount_share,
    coalesce(activity.interactions_30d, 0) as interactions_30d,
    coalesce(activity.sessions_30d, 0) as sessions_30d,
    coalesce(activity.carts_30d, 0) as carts_30d,
    coalesce(activity.searches_30d, 0) as searches_30d,
    coalesce(activity.complaints_90d, 0) as complaints_90d,
    coalesce(voice.open_tickets, 0) as open_tickets,
    csat.score as last_csat,
    nps.score as last_nps,
    coalesce(activity.referrals, 0) as referrals,
    rfm.rfm_code,
    rfm.rfm_segment,
    $day as as_of_date
from core.customers as customers
left join customers.purchases as purchases on customers.customer_id = purchases.customer_id
left join customers.activity as activity on customers.customer_id = activity.customer_id
left join customers.favourites as favourites on customers.customer_id = favourites.customer_id
left join customers.voice as voice on customers.customer_id = voice.customer_id
left join customers.scores as csat on customers.customer_id = csat.customer_id and csat.survey = 'csat'
left join customers.scores as nps on customers.customer_id = nps.customer_id and nps.survey = 'nps'
left join customers.rfm as rfm on customers.customer_id = rfm.customer_id
left join email_consents on customers.customer_id = email_consents.customer_id
left join suppressed on address_hash(customers.email) = suppressed.address_hash
