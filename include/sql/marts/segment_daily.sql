-- How large and how valuable each segment was at the end of each day. One row per day and segment.
-- grain:   day, segment
-- refresh: history
-- pii:     none

with members as (
    select
        membership.segment,
        count(*) as customers,
        cast(sum(audience.net_revenue_12m) as decimal(14, 2)) as net_revenue_12m,
        count(*) filter (where audience.churn_risk = 'high') as at_high_risk
    from segments.membership as membership
    inner join campaigns.audience as audience on membership.customer_id = audience.customer_id
    group by membership.segment
),

changes as (
    select
        segment,
        count(*) filter (where change = 'entered') as entered,
        count(*) filter (where change = 'left') as departed
    from segments.membership_changes
    where day = $day
    group by segment
)

select
    $day as day,  -- business day
    definitions.segment,  -- name of the segment
    definitions.kind,  -- demographic, geographic, behavioural, interest or value
    coalesce(members.customers, 0) as customers,  -- members at the end of the day (count)
    coalesce(changes.entered, 0) as entered,  -- came in since the day before that was run (count)
    coalesce(changes.departed, 0) as departed,  -- left since the day before that was run (count)
    coalesce(members.net_revenue_12m, cast(0 as decimal(14, 2))) as net_revenue_12m,  -- of the members in the last 365 days (business currency)
    coalesce(members.at_high_risk, 0) as at_high_risk  -- members with high churn risk (count)
from rules.segments as definitions
left join members on definitions.segment = members.segment
left join changes on definitions.segment = changes.segment
