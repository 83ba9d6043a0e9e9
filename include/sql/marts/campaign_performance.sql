-- What became of each campaign's decisions, by the end of the day. One row per campaign, send day, variant and arm.
-- Rates are taken over `delivered`; by SMTP nobody reports delivery, so a message counts as delivered when it was accepted and
-- has not bounced for three days. People held out are followed too: compare `converted` by arm. A refund restates the campaign
-- that earned the order, whenever and under whatever order number it comes.
-- grain:   campaign, send_day, variant, arm
-- refresh: rebuild
-- pii:     none

with decisions as (
    select campaign, send_day, customer_id, variant, arm, reason, coalesce(people, 1) as people
    from campaigns.decisions
),

facts as (
    select
        message_id,
        max(case when kind = 'delivered' then 1 else 0 end) as reported_delivered,
        max(case when kind in ('bounced', 'soft_bounced') then 1 else 0 end) as bounced,
        max(case when kind = 'opened' and not machine then 1 else 0 end) as opened,
        max(case when kind = 'opened' and machine then 1 else 0 end) as opened_machine,
        max(case when kind = 'clicked' and not machine then 1 else 0 end) as clicked,
        max(case when kind = 'unsubscribed' then 1 else 0 end) as unsubscribed,
        max(case when kind = 'complained' then 1 else 0 end) as complained
    from ledger.message_events
    where occurred_date <= $day
    group by message_id
),

messages as (
    select
        messages.campaign,
        messages.send_day,
        messages.customer_id,
        case when messages.handed_date <= $day then 1 else 0 end as sent,
        case when messages.accepted_date <= $day then 1 else 0 end as accepted,
        case
            when coalesce(facts.reported_delivered, 0) = 1 then 1
            when messages.accepted_date <= cast($day - interval 3 day as date) and coalesce(facts.bounced, 0) = 0 then 1
            else 0
        end as delivered,
        case
            when messages.state = 'unknown' and coalesce(messages.handed_date, messages.send_day) <= $day then 1
            else 0
        end as unknown,
        case when messages.state <> 'failed' then coalesce(facts.bounced, 0) else 0 end as bounced,
        coalesce(facts.opened, 0) as opened,
        coalesce(facts.opened_machine, 0) as opened_machine,
        coalesce(facts.clicked, 0) as clicked,
        coalesce(facts.unsubscribed, 0) as unsubscribed,
        coalesce(facts.complained, 0) as complained
    from ledger.messages as messages
    left join facts on messages.message_id = facts.message_id
),

earned as (
    select decisions.campaign, decisions.send_day, decisions.customer_id, orders.order_id, orders.net_revenue
    from decisions
    inner join rules.campaigns as books on decisions.campaign = books.campaign
    left join core.merged_customers as merged on decisions.customer_id = merged.former_id
    inner join core.orders as orders on coalesce(merged.customer_id, decisions.customer_id) = orders.customer_id
    where decisions.reason in ('send', 'campaign_holdout')
        and orders.is_completed
        and orders.ordered_date >= decisions.send_day
        and date_diff('day', decisions.send_day, orders.ordered_date) < books.goal_days
),

returns as (
    select sale_id, sum(refunds) as refunds
    from core.order_lines
    where sale_id in (select order_id from earned) and returns_order_id <> order_id
    group by sale_id
),

orders as (
    select
        earned.campaign,
        earned.send_day,
        earned.customer_id,
        cast(sum(earned.net_revenue - coalesce(returns.refunds, 0)) as decimal(14, 2)) as revenue
    from earned
    left join returns on earned.order_id = returns.sale_id
    group by earned.campaign, earned.send_day, earned.customer_id
)

select
    decisions.campaign,  -- folder name of the campaign
    decisions.send_day,  -- day on which the mails go out
    decisions.variant,  -- wording that the person is assigned to
    decisions.arm,  -- treated or holdout
    cast(sum(decisions.people) as bigint) as considered,  -- candidates, each with one decision (count)
    cast(sum(case when decisions.reason <> 'send' then decisions.people else 0 end) as bigint) as held,  -- decisions not to send, for any reason (count)
    cast(coalesce(sum(messages.sent), 0) as bigint) as sent,  -- messages handed to a provider (count)
    cast(coalesce(sum(messages.accepted), 0) as bigint) as accepted,  -- messages the provider took (count)
    cast(coalesce(sum(messages.delivered), 0) as bigint) as delivered,  -- accepted and not bounced for 3 days; inferred (count)
    cast(coalesce(sum(messages.bounced), 0) as bigint) as bounced,  -- messages that came back (count)
    cast(coalesce(sum(messages.opened), 0) as bigint) as opened_unique,  -- messages opened by a person (count)
    cast(coalesce(sum(messages.opened_machine), 0) as bigint) as opened_machine,  -- opened by a proxy or scanner (count)
    cast(coalesce(sum(messages.clicked), 0) as bigint) as clicked_unique,  -- messages clicked by a person (count)
    cast(coalesce(sum(messages.unsubscribed), 0) as bigint) as unsubscribed,  -- unsubscribed through the message (count)
    cast(coalesce(sum(messages.complained), 0) as bigint) as complained,  -- reported as spam (count)
    count(orders.customer_id) as converted,  -- sent or held out, and ordered in the campaign's window (count)
    cast(coalesce(sum(orders.revenue), 0) as decimal(14, 2)) as attributed_revenue,  -- of those orders, refunds taken off (business currency)
    cast(coalesce(sum(messages.unknown), 0) as bigint) as unknown  -- messages whose hand-over nobody can tell (count)
from decisions
left join messages
    on decisions.campaign = messages.campaign
    and decisions.send_day = messages.send_day
    and decisions.customer_id = messages.customer_id
left join orders
    on decisions.campaign = orders.campaign
    and decisions.send_day = orders.send_day
    and decisions.customer_id = orders.customer_id
group by decisions.campaign, decisions.send_day, decisions.variant, decisions.arm
