-- One decision per candidate of each campaign due on the send day, with its reason. One row per campaign and customer.
-- First of all whether the data are fit to decide by; then what forbids a mail, then holds out of service, then the
-- experiment's arm, then what merely advises against it. Arm and variant depend on campaign and customer alone, so they
-- are the same on every occurrence. All campaigns are weighed together: a person gets the promotional mail with the
-- lowest priority number. What has been frozen is not planned again. Earlier mail counts for the person, under whatever
-- numbers they had, and for the mailbox.
-- grain:   campaign, customer_id
-- refresh: rebuild
-- pii:     none

with candidates as (
    select
        candidates.campaign,
        candidates.customer_id,
        books.purpose,
        books.topic,
        books.priority,
        books.holdout,
        books.repeat_at_most,
        books.repeat_days,
        customers.email,
        address_hash(customers.email) as address_hash,
        audience.open_tickets
    from campaigns.candidates as candidates
    inner join rules.campaigns as books on candidates.campaign = books.campaign
    inner join core.customers as customers on candidates.customer_id = customers.customer_id
    inner join campaigns.audience as audience on candidates.customer_id = audience.customer_id
),

arms as (
    select
        candidates.campaign,
        candidates.customer_id,
        case
            when bucket('holdout:' || candidates.campaign || ':' || candidates.customer_id, 10000)
                < candidates.holdout * 10000 then 'holdout'
            else 'treated'
        end as arm,
        variants.variant
    from candidates
    inner join rules.campaign_variants as variants
        on candidates.campaign = variants.campaign
        and bucket('variant:' || candidates.campaign || ':' || candidates.customer_id, 10000) >= variants.from_bucket
        and bucket('variant:' || candidates.campaign || ':' || candidates.customer_id, 10000) < variants.to_bucket
),

sent as (
    select
        messages.message_id,
        messages.campaign,
        coalesce(merged.customer_id, messages.customer_id) as customer_id,
        messages.address_hash,
        messages.send_day,
        messages.purpose
    from ledger.messages as messages
    left join core.merged_customers as merged on messages.customer_id = merged.former_id
    where messages.send_day <= $day and messages.state not in ('held', 'failed', 'expired', 'cancelled', 'bounced')
),

received as (
    select
        candidates.campaign,
        candidates.customer_id,
        candidates.repeat_at_most,
        candidates.repeat_days,
        sent.message_id,
        sent.campaign as sent_campaign,
        sent.purpose as sent_purpose,
        date_diff('day', sent.send_day, $day) + 1 as days_ago
    from candidates
    inner join sent on candidates.customer_id = sent.customer_id
    union
    select
        candidates.campaign,
        candidates.customer_id,
        candidates.repeat_at_most,
        candidates.repeat_days,
        sent.message_id,
        sent.campaign as sent_campaign,
        sent.purpose as sent_purpose,
        date_diff('day', sent.send_day, $day) + 1 as days_ago
    from candidates
    inner join sent on candidates.address_hash = sent.address_hash
),

repeats as (
    select campaign, customer_id
    from received
    where campaign = sent_campaign and days_ago < repeat_days
    group by campaign, customer_id, repeat_at_most
    having count(*) >= repeat_at_most
),

contacted as (
    select
        received.campaign,
        received.customer_id,
        count(case when received.days_ago < policy.every_days then 1 end) as recent,
        min(received.days_ago) as gap_days
    from received
    cross join rules.contact_policy as policy
    where received.sent_purpose = 'promotional'
    group by received.campaign, received.customer_id
),

suppressed as (
    select distinct candidates.campaign, candidates.customer_id
    from candidates
    inner join ledger.suppressions as told on candidates.address_hash = told.address_hash
    where (told.topic = '' or told.topic = candidates.topic)
        and (told.expires_date is null or told.expires_date > $day)
),

consented as (
    select
        candidates.campaign,
        candidates.customer_id,
        max(case when consents.state = 'granted' then 1 else 0 end) as granted,
        max(case when consents.state = 'denied' then 1 else 0 end) as denied
    from candidates
    inner join core.consents as consents on candidates.customer_id = consents.customer_id
    where consents.channel = 'email' and consents.topic in ('all', candidates.topic)
    group by candidates.campaign, candidates.customer_id
),

promised as (
    select
        coalesce(merged.customer_id, decisions.customer_id) as customer_id,
        min(decisions.campaign) as first_campaign,
        max(decisions.campaign) as last_campaign
    from campaigns.decisions as decisions
    inner join rules.campaigns as books on decisions.campaign = books.campaign
    left join core.merged_customers as merged on decisions.customer_id = merged.former_id
    where decisions.send_day = cast($day + interval 1 day as date)
        and decisions.reason = 'send'
        and books.purpose = 'promotional'
    group by coalesce(merged.customer_id, decisions.customer_id)
),

judged as (
    select
        candidates.campaign,
        candidates.customer_id,
        candidates.purpose,
        candidates.priority,
        arms.arm,
        arms.variant,
        unfit.failing_check,
        case
            when unfit.campaign is not null then 'stale_data'
            when candidates.email is null then 'no_address'
            when suppressed.customer_id is not null then 'suppressed'
            when candidates.purpose = 'promotional'
            and (coalesce(consented.granted, 0) = 0 or consented.denied = 1) then 'no_consent'
            when repeats.customer_id is not null then 'already_sent'
            when row_number() over (
                partition by candidates.campaign, candidates.address_hash
                order by candidates.customer_id
            ) > 1 then 'same_address'
            when candidates.purpose = 'promotional' and candidates.open_tickets > 0 then 'open_complaint'
            when arms.arm = 'holdout' then 'campaign_holdout'
            when candidates.purpose = 'promotional'
            and (
                coalesce(contacted.recent, 0) >= policy.at_most
                or coalesce(contacted.gap_days, policy.min_gap_days) < policy.min_gap_days
            ) then 'frequency_cap'
            when candidates.purpose = 'promotional'
            and (promised.first_campaign <> candidates.campaign or promised.last_campaign <> candidates.campaign)
                then 'lower_priority'
            else 'send'
        end as reason
    from candidates
    cross join rules.contact_policy as policy
    inner join arms on candidates.campaign = arms.campaign and candidates.customer_id = arms.customer_id
    left join campaigns.unfit_inputs as unfit on candidates.campaign = unfit.campaign
    left join repeats on candidates.campaign = repeats.campaign and candidates.customer_id = repeats.customer_id
    left join contacted on candidates.campaign = contacted.campaign and candidates.customer_id = contacted.customer_id
    left join suppressed on candidates.campaign = suppressed.campaign and candidates.customer_id = suppressed.customer_id
    left join consented on candidates.campaign = consented.campaign and candidates.customer_id = consented.customer_id
    left join promised on candidates.customer_id = promised.customer_id
),

ranked as (
    select
        campaign,
        customer_id,
        arm,
        variant,
        reason,
        failing_check,
        purpose,
        row_number() over (
            partition by customer_id, case when reason = 'send' and purpose = 'promotional' then 1 else 0 end
            order by priority, campaign
        ) as place
    from judged
)

select
    campaign,
    customer_id,
    campaign as experiment,
    arm,
    variant,
    case
        when reason = 'send' and purpose = 'promotional' and place > 1 then 'lower_priority'
        else reason
    end as reason,
    failing_check
from ranked
