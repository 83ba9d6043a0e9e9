-- All that a campaign may ask about a person: profile, tier, risk and segments. One row per customer.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     birthday

with tier_changes as (
    select customer_id, from_tier, change
    from loyalty.tier_changes
    where day = $day and change <> 'first'
)

select
    profile.customer_id,
    profile.locale,
    profile.country,
    profile.region,
    profile.city,
    profile.gender,
    profile.birthday,
    profile.age,
    profile.timezone,
    profile.interests,
    profile.signup_date,
    profile.signup_channel,
    profile.acquisition_cost,
    profile.email_domain,
    profile.has_email,
    profile.has_email_consent,
    profile.is_suppressed,
    profile.orders,
    profile.net_revenue,
    profile.aov,
    profile.orders_12m,
    profile.net_revenue_12m,
    profile.first_order_date,
    profile.last_order_date,
    profile.recency_days,
    profile.purchase_days,
    profile.mean_gap_days,
    profile.favourite_category,
    profile.favourite_channel,
    profile.distinct_categories,
    profile.return_rate,
    profile.discount_share,
    profile.interactions_30d,
    profile.sessions_30d,
    profile.carts_30d,
    profile.searches_30d,
    profile.complaints_90d,
    profile.open_tickets,
    profile.last_csat,
    profile.last_nps,
    profile.referrals,
    profile.rfm_code,
    profile.rfm_segment,
    profile.as_of_date,
    tiers.tier,
    tiers.next_tier,
    tiers.points_to_next_tier,
    tier_changes.from_tier as previous_tier,
    coalesce(tier_changes.change, '') as tier_change,
    case
        when date_diff('day', balances.last_entry_day, $day) >= books.expires_after_days then 0
        else coalesce(balances.points_balance, 0)
    end as points_balance,
    case
        when balances.points_balance > 0 and date_diff('day', balances.last_entry_day, $day) < books.expires_after_days
            then cast(balances.last_entry_day + books.expires_after_days * interval 1 day as date)
    end as points_expire_date,
    coalesce(scores.churn_risk, 'low') as churn_risk,
    scores.churn_probability,
    memberships.segments
from customers.profile as profile
cross join rules.loyalty as books
inner join loyalty.tiers as tiers on profile.customer_id = tiers.customer_id
left join tier_changes on profile.customer_id = tier_changes.customer_id
left join loyalty.balances as balances on profile.customer_id = balances.customer_id
left join churn.scores as scores on profile.customer_id = scores.customer_id
inner join segments.by_customer as memberships on profile.customer_id = memberships.customer_id
