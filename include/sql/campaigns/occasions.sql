-- What makes people candidates of campaigns that are about them. Of several occasions of one campaign the newest counts,
-- unless it was decided before: then none does. One row per campaign and customer.
-- grain:   campaign, customer_id
-- refresh: rebuild
-- pii:     none

with happened as (
    select campaign, customer_id, occurrence, occasion_day
    from campaigns.segment_occasions
    union all
    select campaign, customer_id, occurrence, occasion_day
    from campaigns.event_occasions
    union all
    select campaign, customer_id, occurrence, occasion_day
    from campaigns.date_occasions
    union all
    select campaign, customer_id, occurrence, occasion_day
    from campaigns.tier_occasions
    union all
    select campaign, customer_id, occurrence, occasion_day
    from campaigns.points_occasions
    union all
    select campaign, customer_id, occurrence, occasion_day
    from campaigns.replenishment_occasions
    union all
    select campaign, customer_id, occurrence, occasion_day
    from campaigns.cart_occasions
    union all
    select campaign, customer_id, occurrence, occasion_day
    from campaigns.step_occasions
),

ranked as (
    select
        campaign,
        customer_id,
        occurrence,
        occasion_day,
        row_number() over (partition by campaign, customer_id order by occasion_day desc, occurrence) as place
    from happened
)

select ranked.campaign, ranked.customer_id, ranked.occurrence, ranked.occasion_day
from ranked
where ranked.place = 1
    and not exists (
        select 1
        from campaigns.decisions as decided
        left join core.merged_customers as merged on decided.customer_id = merged.former_id
        where decided.campaign = ranked.campaign
            and decided.occurrence = ranked.occurrence
            and coalesce(merged.customer_id, decided.customer_id) = ranked.customer_id
            and decided.send_day <= $day
            and decided.send_day > cast($day - interval 60 day as date)
    )
