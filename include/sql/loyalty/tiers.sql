-- The tier of each person by the points earned in the qualifying window, and the tier of the day before.
-- One row per customer.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     none

with earned as (
    select
        entries.customer_id,
        sum(
            case when date_diff('day', entries.day, $day) < books.qualifying_days then entries.points else 0 end
        ) as points,
        sum(case when entries.day < $day then entries.points else 0 end) as points_before
    from loyalty.points_entries as entries
    cross join rules.loyalty as books
    where entries.rule <> 'redeemed' and date_diff('day', entries.day, $day) <= books.qualifying_days
    group by entries.customer_id
),

members as (
    select
        customers.customer_id,
        greatest(coalesce(earned.points, 0), 0) as qualifying_points,
        greatest(coalesce(earned.points_before, 0), 0) as qualifying_points_before
    from core.customers as customers
    left join earned on customers.customer_id = earned.customer_id
),

reached as (
    select
        members.customer_id,
        members.qualifying_points,
        max(case when tiers.from_points <= members.qualifying_points then tiers.place end) as place,
        max(case when tiers.from_points <= members.qualifying_points_before then tiers.place end) as place_before
    from members
    cross join rules.tiers as tiers
    group by members.customer_id, members.qualifying_points
)

select
    reached.customer_id,
    cast(reached.qualifying_points as bigint) as qualifying_points,
    now_tiers.tier,
    reached.place as tier_place,
    before_tiers.tier as tier_before,
    reached.place_before as tier_place_before,
    next_tiers.tier as next_tier,
    cast(next_tiers.from_points - reached.qualifying_points as bigint) as points_to_next_tier
from reached
inner join rules.tiers as now_tiers on reached.place = now_tiers.place
inner join rules.tiers as before_tiers on reached.place_before = before_tiers.place
left join rules.tiers as next_tiers on reached.place + 1 = next_tiers.place
