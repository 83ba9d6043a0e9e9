-- Whose turn it is for the next mail of a sequence: so many days ago the mail before was accepted, and nothing that ends
-- the sequence has happened since. One row per campaign and message before.
-- grain:   campaign, occurrence
-- refresh: rebuild
-- pii:     none

with due as (
    select
        triggers.campaign,
        triggers.ordered,
        triggers.opened,
        triggers.clicked,
        messages.message_id,
        coalesce(merged.customer_id, messages.customer_id) as customer_id,
        messages.accepted_at,
        messages.accepted_date
    from ledger.messages as messages
    inner join rules.step_triggers as triggers on messages.campaign = triggers.parent
    left join core.merged_customers as merged on messages.customer_id = merged.former_id
    where messages.state in ('accepted', 'delivered') and coalesce(messages.arm, '') <> 'seed'
        and date_diff('day', messages.accepted_date, $day) + 1 >= triggers.days
        and date_diff('day', messages.accepted_date, $day) + 1 < triggers.days + triggers.good_for_days
),

reactions as (
    select message_id, max(case when kind = 'clicked' then 1 else 0 end) as clicked
    from ledger.message_events
    where kind in ('opened', 'clicked') and not machine and occurred_date <= $day
    group by message_id
)

select
    due.campaign,
    due.customer_id,
    due.message_id as occurrence,
    due.accepted_date as occasion_day
from due
left join reactions on due.message_id = reactions.message_id
where not (due.opened and reactions.message_id is not null)
    and not (due.clicked and coalesce(reactions.clicked, 0) = 1)
    and not (
        due.ordered
        and exists (
            select 1
            from core.orders as orders
            where orders.customer_id = due.customer_id and orders.is_completed and orders.ordered_at >= due.accepted_at
        )
    )
