-- What a mail of each campaign has brought in on average: orders within the campaign's goal, over the last half year.
-- A campaign with less than a hundred mails is taken for an average one. One row per campaign.
-- grain:   campaign
-- refresh: rebuild
-- pii:     none

with mails as (
    select
        messages.message_id,
        messages.campaign,
        coalesce(merged.customer_id, messages.customer_id) as customer_id,
        messages.send_day,
        books.goal_days
    from ledger.messages as messages
    inner join rules.campaigns as books on messages.campaign = books.campaign
    left join core.merged_customers as merged on messages.customer_id = merged.former_id
    where messages.accepted_date <= $day
        and messages.send_day > cast($day - interval 180 day as date)
        and messages.purpose = 'promotional'
        and coalesce(messages.arm, '') <> 'seed'
),

counted as (
    select campaign, count(*) as mails
    from mails
    group by campaign
),

earned as (
    select mails.campaign, cast(sum(orders.net_revenue) as decimal(14, 2)) as revenue
    from mails
    inner join core.orders as orders
        on mails.customer_id = orders.customer_id
        and orders.is_completed
        and orders.ordered_date >= mails.send_day
        and orders.ordered_date <= $day
        and date_diff('day', mails.send_day, orders.ordered_date) < mails.goal_days
    group by mails.campaign
),

campaigns as (
    select
        books.campaign,
        coalesce(counted.mails, 0) as mails,
        coalesce(earned.revenue, cast(0 as decimal(14, 2))) as revenue
    from rules.campaigns as books
    left join counted on books.campaign = counted.campaign
    left join earned on books.campaign = earned.campaign
),

overall as (
    select cast(sum(mails) as bigint) as mails, cast(sum(revenue) as decimal(14, 2)) as revenue
    from campaigns
)

select
    campaigns.campaign,
    cast(
        coalesce(
            case
                when campaigns.mails >= 100 then money_per(campaigns.revenue, campaigns.mails)
                else money_per(overall.revenue, overall.mails)
            end,
            0
        ) as decimal(12, 2)
    ) as expected_value
from campaigns
cross join overall
