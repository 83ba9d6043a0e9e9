-- Points of each member. One row per customer with an entry.
-- Where points expire they all do, when a member has had no entry for so many days: the balance is of the entries since.
-- Whether that has happened by today is for whoever asks: `last_entry_day` says since when nothing came.
-- grain:   customer_id
-- refresh: replace_customers
-- keys:    customers = customer_id
-- pii:     none

with spaced as (
    select
        customer_id,
        entry_id,
        day,
        rule,
        points,
        date_diff('day', lag(day) over (partition by customer_id order by day, entry_id), day) as gap_days
    from loyalty.points_entries
),

numbered as (
    select
        spaced.customer_id,
        spaced.day,
        spaced.rule,
        spaced.points,
        sum(case when spaced.gap_days >= books.expires_after_days then 1 else 0 end) over (
            partition by spaced.customer_id
            order by spaced.day desc, spaced.entry_id desc
            rows between unbounded preceding and 1 preceding
        ) as expiries_since
    from spaced
    cross join rules.loyalty as books
)

select
    customer_id,
    cast(sum(case when rule <> 'redeemed' then points else 0 end) as bigint) as points_earned,
    cast(-sum(case when rule = 'redeemed' then points else 0 end) as bigint) as points_redeemed,
    cast(sum(case when coalesce(expiries_since, 0) = 0 then points else 0 end) as bigint) as points_balance,
    max(day) as last_entry_day
from numbered
group by customer_id
