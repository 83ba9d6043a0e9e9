-- Who will soon have used up what they buy again and again: an article, or something of a category. The cycle is their own,
-- the (lower) median gap between the days on which they bought it, of three such days at least.
-- One row per campaign, customer and article or category.
-- grain:   campaign, customer_id, occurrence
-- refresh: rebuild
-- pii:     none

with wanted as (
    select distinct per
    from rules.replenishment_triggers
),

bought as (
    select distinct
        lines.customer_id,
        wanted.per,
        case when wanted.per = 'product' then lines.sku else lines.category end as item,
        lines.day
    from core.order_lines as lines
    cross join wanted
    where lines.is_sale and lines.customer_id is not null and lines.day <= $day
),

spaced as (
    select
        customer_id,
        per,
        item,
        day,
        date_diff('day', lag(day) over (partition by customer_id, per, item order by day), day) as gap_days
    from bought
    where item is not null
),

ranked as (
    select
        customer_id,
        per,
        item,
        gap_days,
        row_number() over (partition by customer_id, per, item order by gap_days, day) as place,
        count(*) over (partition by customer_id, per, item) as gaps,
        max(day) over (partition by customer_id, per, item) as last_day
    from spaced
    where gap_days is not null
),

cycles as (
    select customer_id, per, item, last_day, gap_days
    from ranked
    where gaps >= 2 and (place * 2 = gaps or place * 2 = gaps + 1)
)

select
    triggers.campaign,
    cycles.customer_id,
    cycles.item || ' ' || cast(cycles.last_day as text) as occurrence,
    cycles.last_day as occasion_day,
    case when cycles.per = 'product' then cycles.item end as sku
from cycles
inner join rules.replenishment_triggers as triggers on cycles.per = triggers.per
where date_diff('day', cycles.last_day, $day) + 1 + triggers.days_before >= cycles.gap_days
    and date_diff('day', cycles.last_day, $day) + 1 + triggers.days_before < cycles.gap_days + triggers.good_for_days
