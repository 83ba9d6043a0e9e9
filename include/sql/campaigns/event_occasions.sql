-- What people did that a campaign waits for: an interaction, or an order. One row per campaign and event.
-- grain:   campaign, occurrence
-- refresh: rebuild
-- pii:     none

with events as (
    select event_id, customer_id, kind, channel, day
    from core.interactions
    where customer_id is not null and kind in (select kind from rules.event_triggers)
        and day <= $day and day > cast($day - interval 120 day as date)
    union all
    select order_id as event_id, customer_id, 'order' as kind, channel, ordered_date as day
    from core.orders
    where customer_id is not null and is_completed
        and ordered_date <= $day and ordered_date > cast($day - interval 120 day as date)
)

select
    triggers.campaign,
    events.customer_id,
    events.event_id as occurrence,
    events.day as occasion_day
from events
inner join rules.event_triggers as triggers
    on events.kind = triggers.kind and (triggers.channel is null or events.channel = triggers.channel)
where date_diff('day', events.day, $day) >= triggers.days_after
    and date_diff('day', events.day, $day) < triggers.days_after + triggers.good_for_days
