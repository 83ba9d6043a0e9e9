-- Whose birthday, or day of signing up or of the first order, comes round. One row per campaign, customer and year.
-- Who was born on 29 February celebrates on the 28th where there is no 29th.
-- grain:   campaign, customer_id, occurrence
-- refresh: rebuild
-- pii:     none

with dates as (
    select customer_id, 'birthday' as field, birthday as first_day
    from core.customers
    where birthday is not null
    union all
    select customer_id, 'signup_date' as field, signup_date as first_day
    from core.customers
    where signup_date is not null
    union all
    select customer_id, 'first_order_date' as field, first_order_date as first_day
    from customers.purchases
    where first_order_date is not null
),

coming as (
    select
        triggers.campaign,
        triggers.field,
        calendar.day,
        cast(extract(year from calendar.day) as bigint) as year,
        cast(extract(month from calendar.day) * 100 + extract(day from calendar.day) as bigint) as month_day
    from rules.date_triggers as triggers
    inner join rules.calendar as calendar
        on date_diff('day', calendar.day, $day) + 1 + triggers.days_before >= 0
        and date_diff('day', calendar.day, $day) + 1 + triggers.days_before < triggers.good_for_days
),

celebrated as (
    select campaign, field, day, year, month_day
    from coming
    union all
    select campaign, field, day, year, 229 as month_day
    from coming
    where month_day = 228 and extract(month from cast(day + interval 1 day as date)) = 3
)

select
    celebrated.campaign,
    dates.customer_id,
    celebrated.field || ' ' || cast(celebrated.year as text) as occurrence,
    celebrated.day as occasion_day
from celebrated
inner join dates
    on celebrated.field = dates.field
    and cast(extract(month from dates.first_day) * 100 + extract(day from dates.first_day) as bigint) = celebrated.month_day
    and cast(extract(year from dates.first_day) as bigint) < celebrated.year
