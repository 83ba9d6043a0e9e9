-- Whose points expire so many days after the send day, unless they buy before. One row per campaign and customer.
-- grain:   campaign, customer_id
-- refresh: rebuild
-- pii:     none

with members as (
    select
        balances.customer_id,
        balances.last_entry_day,
        books.expires_after_days - date_diff('day', balances.last_entry_day, $day) - 1 as days_left
    from loyalty.balances as balances
    cross join rules.loyalty as books
    where balances.points_balance > 0 and balances.last_entry_day <= $day
)

select
    triggers.campaign,
    members.customer_id,
    'points of ' || cast(members.last_entry_day as text) as occurrence,
    members.last_entry_day as occasion_day
from members
inner join rules.points_triggers as triggers
    on members.days_left > 0
    and members.days_left <= triggers.within_days
    and members.days_left > triggers.within_days - triggers.good_for_days
