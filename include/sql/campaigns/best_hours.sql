-- The hour of a person's own day at which they mostly open, click and order, where enough of it is known. Asked for only
-- where a campaign is sent by it. One row per customer.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     none

with moments as (
    select coalesce(merged.customer_id, messages.customer_id) as customer_id, events.occurred_at
    from ledger.message_events as events
    inner join ledger.messages as messages on events.message_id = messages.message_id
    inner join rules.best_hour as books on events.occurred_date >= books.from_day
    left join core.merged_customers as merged on messages.customer_id = merged.former_id
    where events.kind in ('opened', 'clicked') and not events.machine and events.occurred_date <= $day
    union all
    select orders.customer_id, orders.ordered_at as occurred_at
    from core.orders as orders
    inner join rules.best_hour as books on orders.ordered_date >= books.from_day
    where orders.customer_id is not null and orders.is_completed and orders.ordered_date <= $day
),

-- a zone that nobody knows is the shop's
zones as (
    select distinct timezone
    from rules.zone_offsets
),

placed as (
    select moments.customer_id, moments.occurred_at, coalesce(zones.timezone, books.timezone) as timezone
    from moments
    cross join rules.best_hour as books
    inner join core.customers as customers on moments.customer_id = customers.customer_id
    left join zones on customers.timezone = zones.timezone
),

local_hours as (
    select
        placed.customer_id,
        cast(
            floor(
                cast(
                    extract(hour from placed.occurred_at) * 60 + extract(minute from placed.occurred_at)
                    + offsets.minutes + 1440 as double
                ) / 60
            ) as bigint
        ) as hours
    from placed
    inner join rules.zone_offsets as offsets
        on placed.timezone = offsets.timezone
        and placed.occurred_at >= offsets.from_moment
        and placed.occurred_at < offsets.to_moment
),

counted as (
    select customer_id, hours - cast(24 * floor(cast(hours as double) / 24) as bigint) as hour, count(*) as times
    from local_hours
    group by customer_id, hours - cast(24 * floor(cast(hours as double) / 24) as bigint)
),

ranked as (
    select
        customer_id,
        hour,
        cast(sum(times) over (partition by customer_id) as bigint) as known,
        row_number() over (partition by customer_id order by times desc, hour) as place
    from counted
)

select ranked.customer_id, ranked.hour as best_hour
from ranked
cross join rules.best_hour as books
where ranked.place = 1 and ranked.known >= books.at_least
