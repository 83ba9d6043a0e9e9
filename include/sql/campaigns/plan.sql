-- One decision per candidate on the send day, with its reason. One row per campaign and customer.
-- First of all whether the data are fit to decide by; then what forbids a mail, then holds out of service, then the arms
-- of experiments, then what merely advises against it. Arm and variant depend on campaign and customer alone, so they are
-- the same on every occurrence. All campaigns are weighed together: a person gets the promotional mail with the lowest
-- priority number, of equals the one that earns more. What has been frozen is not planned again. Earlier mail counts for
-- the person, under whatever numbers they had, and for the mailbox.
-- grain:   campaign, customer_id
-- refresh: rebuild
-- pii:     none

with people as (
    select
        customers.customer_id,
        address_hash(customers.email) as address_hash,
        coalesce(laws.needs_consent, elsewhere.needs_consent, true) or not coalesce(policy.consent_by_law, false)
        as needs_consent,
        audience.open_tickets > 0 as has_open_ticket,
        audience.mean_gap_days,
        audience.interactions_30d,
        audience.first_order_date,
        policy.global_holdout > 0
        and bucket('global_holdout:' || customers.customer_id, 10000) < policy.global_holdout * 10000 as is_held_out
    from core.customers as customers
    inner join campaigns.audience as audience on customers.customer_id = audience.customer_id
    cross join rules.contact_policy as policy
    left join rules.laws as laws on coalesce(audience.country, split_part(audience.locale, '-', 2)) = laws.country
    left join rules.laws as elsewhere on elsewhere.country = ''
),

-- messages that somebody got, or whoever has the same mailbox
sent as (
    select
        messages.message_id,
        messages.campaign,
        coalesce(merged.customer_id, messages.customer_id) as customer_id,
        messages.address_hash,
        messages.purpose,
        messages.topic,
        date_diff('day', messages.send_day, $day) + 1 as days_ago
    from ledger.messages as messages
    left join core.merged_customers as merged on messages.customer_id = merged.former_id
    where messages.send_day <= $day
        and messages.state not in ('held', 'failed', 'expired', 'cancelled', 'bounced')
        and coalesce(messages.arm, '') <> 'seed'
),

received as (
    select people.customer_id, sent.message_id, sent.campaign, sent.purpose, sent.topic, sent.days_ago
    from people
    inner join sent on people.customer_id = sent.customer_id
    union
    select people.customer_id, sent.message_id, sent.campaign, sent.purpose, sent.topic, sent.days_ago
    from people
    inner join sent on people.address_hash = sent.address_hash
),

repeats as (
    select received.campaign, received.customer_id
    from received
    inner join rules.campaigns as books on received.campaign = books.campaign
    where received.days_ago < books.repeat_days
    group by received.campaign, received.customer_id, books.repeat_at_most
    having count(*) >= books.repeat_at_most
),

contacted as (
    select
        received.customer_id,
        count(case when received.days_ago < policy.every_days then 1 end) as recent,
        min(received.days_ago) as gap_days
    from received
    cross join rules.contact_policy as policy
    where received.purpose = 'promotional'
    group by received.customer_id
),

capped as (
    select contacted.customer_id
    from contacted
    cross join rules.contact_policy as policy
    inner join people on contacted.customer_id = people.customer_id
    where contacted.recent >= policy.at_most
        or contacted.gap_days < policy.min_gap_days
        or (contacted.gap_days < policy.cycle_days and contacted.gap_days < policy.cycle_share * people.mean_gap_days)
),

topics_full as (
    select distinct received.customer_id, received.topic
    from received
    inner join rules.topic_caps as caps on received.topic = caps.topic and received.days_ago < caps.every_days
    where received.purpose = 'promotional'
    group by received.customer_id, received.topic, caps.every_days, caps.at_most
    having count(*) >= caps.at_most
),

topics as (
    select distinct topic
    from rules.campaigns
),

suppressed as (
    select distinct people.customer_id, topics.topic
    from people
    inner join ledger.suppressions as told on people.address_hash = told.address_hash
    inner join topics on told.topic in ('', topics.topic)
    where told.expires_date is null or told.expires_date > $day
),

consented as (
    select
        consents.customer_id,
        topics.topic,
        max(case when consents.state = 'granted' then 1 else 0 end) as granted,
        max(case when consents.state = 'denied' then 1 else 0 end) as denied
    from core.consents as consents
    inner join topics on consents.topic in ('all', topics.topic)
    where consents.channel = 'email'
    group by consents.customer_id, topics.topic
),

shared_addresses as (
    select address_hash
    from people
    where address_hash is not null
    group by address_hash
    having count(*) > 1
),

sharing as (
    select
        candidates.campaign,
        candidates.customer_id,
        row_number() over (
            partition by candidates.campaign, people.address_hash
            order by candidates.customer_id
        ) as place
    from people
    inner join shared_addresses as shared on people.address_hash = shared.address_hash
    inner join campaigns.candidates as candidates on people.customer_id = candidates.customer_id
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

wordings as (
    select campaign, count(*) as variants
    from rules.campaign_variants
    group by campaign
),

assigned as (
    select
        candidates.campaign,
        candidates.customer_id,
        candidates.occurrence,
        books.purpose = 'promotional' as is_promotional,
        books.topic,
        case
            when books.holdout > 0
            and bucket('holdout:' || candidates.campaign || ':' || candidates.customer_id, 10000) < books.holdout * 10000
                then 'holdout'
            else 'treated'
        end as arm,
        case
            when wordings.variants > 1 then bucket('variant:' || candidates.campaign || ':' || candidates.customer_id, 10000)
            else 0
        end as variant_bucket
    from campaigns.candidates as candidates
    inner join rules.campaigns as books on candidates.campaign = books.campaign
    inner join wordings on candidates.campaign = wordings.campaign
),

judged as (
    select
        assigned.campaign,
        assigned.customer_id,
        assigned.occurrence,
        assigned.is_promotional,
        assigned.arm,
        variants.variant,
        case
            when unfit.campaign is not null then 'stale_data'
            when people.address_hash is null then 'no_address'
            when suppressed.customer_id is not null then 'suppressed'
            when assigned.is_promotional
            and (consented.denied = 1 or (people.needs_consent and coalesce(consented.granted, 0) = 0)) then 'no_consent'
            when repeats.customer_id is not null then 'already_sent'
            when sharing.place > 1 then 'same_address'
            when assigned.is_promotional and people.has_open_ticket then 'open_complaint'
            when assigned.is_promotional and detractors.customer_id is not null then 'detractor_hold'
            when assigned.is_promotional and people.is_held_out then 'global_holdout'
            when assigned.arm = 'holdout' then 'campaign_holdout'
            when assigned.is_promotional and (capped.customer_id is not null or topics_full.customer_id is not null)
                then 'frequency_cap'
            when assigned.is_promotional
            and (promised.first_campaign <> assigned.campaign or promised.last_campaign <> assigned.campaign)
                then 'lower_priority'
            else 'send'
        end as reason
    from assigned
    inner join people on assigned.customer_id = people.customer_id
    inner join rules.campaign_variants as variants
        on assigned.campaign = variants.campaign
        and assigned.variant_bucket >= variants.from_bucket
        and assigned.variant_bucket < variants.to_bucket
    left join campaigns.unfit_inputs as unfit on assigned.campaign = unfit.campaign
    left join repeats on assigned.campaign = repeats.campaign and assigned.customer_id = repeats.customer_id
    left join capped on assigned.customer_id = capped.customer_id
    left join topics_full on assigned.customer_id = topics_full.customer_id and assigned.topic = topics_full.topic
    left join suppressed on assigned.customer_id = suppressed.customer_id and assigned.topic = suppressed.topic
    left join consented on assigned.customer_id = consented.customer_id and assigned.topic = consented.topic
    left join sharing on assigned.campaign = sharing.campaign and assigned.customer_id = sharing.customer_id
    left join promised on assigned.customer_id = promised.customer_id
    left join campaigns.detractors as detractors on assigned.customer_id = detractors.customer_id
),

places as (
    select
        books.campaign,
        books.coupon_pool,
        row_number() over (
            order by books.priority, coalesce(earned.expected_value, 0) desc, books.campaign
        ) as place
    from rules.campaigns as books
    left join campaigns.expected_values as earned on books.campaign = earned.campaign
),

winners as (
    select judged.customer_id, min(places.place) as place
    from judged
    inner join places on judged.campaign = places.campaign
    where judged.reason = 'send' and judged.is_promotional
    group by judged.customer_id
),

mails as (
    select judged.campaign, judged.customer_id, judged.is_promotional, places.coupon_pool, places.place as campaign_place
    from judged
    inner join places on judged.campaign = places.campaign
    left join winners on judged.customer_id = winners.customer_id
    where judged.reason = 'send' and (not judged.is_promotional or places.place = winners.place)
),

-- a code for each mail that has one, while there are
coupons as (
    select
        mails.campaign,
        mails.customer_id,
        row_number() over (
            partition by mails.coupon_pool
            order by mails.campaign_place, mails.customer_id
        ) as place,
        coalesce(pools.codes, 0) as codes
    from mails
    left join rules.coupon_pools as pools on mails.coupon_pool = pools.pool
    where mails.coupon_pool is not null
),

-- a new sending domain begins with those who know us best; what is no promotion goes first
warming as (
    select
        mails.campaign,
        mails.customer_id,
        mails.is_promotional,
        row_number() over (
            order by
                mails.is_promotional,
                coalesce(people.interactions_30d, 0) desc,
                coalesce(people.first_order_date, $day),
                mails.customer_id,
                mails.campaign
        ) as place,
        warm_up.daily
    from mails
    cross join rules.warm_up as warm_up
    inner join people on mails.customer_id = people.customer_id
    left join coupons on mails.campaign = coupons.campaign and mails.customer_id = coupons.customer_id
    where coalesce(coupons.place <= coupons.codes, true)
),

frozen as (
    select count(*) as mails
    from campaigns.decisions
    where send_day = cast($day + interval 1 day as date) and reason = 'send'
),

turned_away as (
    select campaign, customer_id, 'no_coupon' as reason
    from coupons
    where place > codes
    union all
    select warming.campaign, warming.customer_id, 'warm_up' as reason
    from warming
    cross join frozen
    where warming.is_promotional and warming.place + frozen.mails > warming.daily
)

select
    judged.campaign,
    judged.customer_id,
    judged.occurrence,
    judged.campaign as experiment,
    judged.arm,
    judged.variant,
    case
        when judged.reason <> 'send' then judged.reason
        when judged.is_promotional and places.place > winners.place then 'lower_priority'
        else coalesce(turned_away.reason, 'send')
    end as reason,
    unfit.failing_check,
    books.partner
from judged
inner join places on judged.campaign = places.campaign
inner join rules.campaigns as books on judged.campaign = books.campaign
left join campaigns.unfit_inputs as unfit on judged.campaign = unfit.campaign
left join winners on judged.customer_id = winners.customer_id
left join turned_away on judged.campaign = turned_away.campaign and judged.customer_id = turned_away.customer_id
