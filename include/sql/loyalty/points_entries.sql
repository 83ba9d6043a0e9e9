-- Every point earned, given back and redeemed, and the rule that says so. One row per entry.
-- A refund takes back what the same money earned by the rules of the day of the sale, rounded down, so it never takes more
-- than the sale gave. Where the sale is not known, the rules of the refund's own day stand in.
-- grain:   entry_id
-- refresh: replace_origins
-- keys:    origins = origin_id, customers = customer_id
-- pii:     none

with purchase_rules as (
    select rule, points_per_unit, category, from_day, to_day
    from rules.earning
    where event = 'purchase'
),

event_rules as (
    select rule, event, points, from_day, to_day
    from rules.earning
    where event <> 'purchase'
),

lines as (
    select
        line_id,
        customer_id,
        sale_id,
        day,
        category,
        gross_revenue - discounts as sold,
        refunds,
        case
            when is_sale then day
            else coalesce(
                min(case when is_sale then day end) over (partition by customer_id, sale_id),
                day
            )
        end as sold_day
    from core.order_lines
    where customer_id is not null and (is_sale or is_refund)
),

purchases as (
    select
        'line:' || lines.line_id || ':' || purchase_rules.rule as entry_id,
        lines.sale_id as origin_id,
        lines.customer_id,
        lines.day,
        purchase_rules.rule,
        cast(
            floor(lines.sold * purchase_rules.points_per_unit) - floor(lines.refunds * purchase_rules.points_per_unit)
            as bigint
        ) as points
    from lines
    inner join purchase_rules
        on lines.sold_day >= purchase_rules.from_day
        and (purchase_rules.to_day is null or lines.sold_day < purchase_rules.to_day)
        and (purchase_rules.category is null or lines.category = purchase_rules.category)
),

events as (
    select
        'event:' || interactions.event_id || ':' || event_rules.rule as entry_id,
        interactions.event_id as origin_id,
        interactions.customer_id,
        interactions.day,
        event_rules.rule,
        cast(event_rules.points as bigint) as points
    from core.interactions as interactions
    inner join event_rules
        on interactions.kind = event_rules.event
        and interactions.day >= event_rules.from_day
        and (event_rules.to_day is null or interactions.day < event_rules.to_day)
    where interactions.customer_id is not null
),

redemptions as (
    select
        'event:' || event_id || ':redeemed' as entry_id,
        event_id as origin_id,
        customer_id,
        day,
        'redeemed' as rule,
        cast(-floor(abs(value)) as bigint) as points
    from core.interactions
    where customer_id is not null and kind = 'points_redeemed' and value is not null
)

select entry_id, origin_id, customer_id, day, rule, points from purchases where points <> 0
union all
select entry_id, origin_id, customer_id, day, rule, points from events where points <> 0
union all
select entry_id, origin_id, customer_id, day, rule, points from redemptions where points <> 0
