-- Who came into or left a segment that a campaign waits for, and is still in or out. One row per campaign and customer.
-- Who is in a segment on the first day on which it has anybody has not entered it: it was made then.
-- grain:   campaign, customer_id
-- refresh: rebuild
-- pii:     none

with begun as (
    select segment, min(day) as first_day
    from segments.membership_changes
    where segment in (select segment from rules.segment_triggers)
    group by segment
),

ranked as (
    select
        changes.segment,
        changes.customer_id,
        changes.day,
        changes.change,
        row_number() over (partition by changes.segment, changes.customer_id order by changes.day desc) as place
    from segments.membership_changes as changes
    inner join begun on changes.segment = begun.segment and changes.day > begun.first_day
    where changes.day <= $day and changes.day > cast($day - interval 30 day as date)
)

select
    triggers.campaign,
    ranked.customer_id,
    cast(ranked.day as text) as occurrence,
    ranked.day as occasion_day
from ranked
inner join rules.segment_triggers as triggers
    on ranked.segment = triggers.segment and ranked.change = triggers.change
where ranked.place = 1 and date_diff('day', ranked.day, $day) < triggers.good_for_days
