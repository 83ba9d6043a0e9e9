-- Who came into another tier on which day: what each day's run found, against what was found before. One row per change.
-- The first time a person is seen is a row too (`first`, where the tier of the day before was the same): points that come
-- late restate yesterday's tier as well, so only what was told counts as known. Tiers are compared by name, at their places
-- in the present rule book: a tier put in between lifts nobody.
-- grain:   day, customer_id
-- refresh: history
-- pii:     none

with told as (
    select
        customer_id,
        to_tier,
        row_number() over (partition by customer_id order by day desc) as place
    from loyalty.tier_changes
    where day < $day
),

compared as (
    select
        tiers.customer_id,
        tiers.tier_place,
        coalesce(told_tiers.place, tiers.tier_place_before) as from_place,
        told.customer_id is null as is_first
    from loyalty.tiers as tiers
    left join told on tiers.customer_id = told.customer_id and told.place = 1
    left join rules.tiers as told_tiers on told.to_tier = told_tiers.tier
)

select
    cast($day as date) as day,
    cast(compared.customer_id as text) as customer_id,
    cast(before_tiers.tier as text) as from_tier,
    cast(compared.from_place as bigint) as from_place,
    cast(now_tiers.tier as text) as to_tier,
    cast(compared.tier_place as bigint) as to_place,
    cast(
        case
            when compared.tier_place > compared.from_place then 'upgrade'
            when compared.tier_place < compared.from_place then 'downgrade'
            else 'first'
        end as text
    ) as change
from compared
left join rules.tiers as before_tiers on compared.from_place = before_tiers.place
inner join rules.tiers as now_tiers on compared.tier_place = now_tiers.place
where compared.tier_place <> compared.from_place or compared.is_first
