-- Campaigns whose data are not fit: a source that they need is stale, brought too little, too much or another mix, or
-- has a file that was refused or held and not mended since. Somebody may have allowed it for the send day. Checks of a
-- source's day are of no batch; a contract's own rule of such a name is about rows. One row per campaign.
-- grain:   campaign
-- refresh: rebuild
-- pii:     none

with newest as (
    select
        source,
        status,
        day,
        row_number() over (partition by source, file order by version desc, batch_id desc) as place
    from raw.files
    where day <= $day and status <> 'duplicate'
),

failing as (
    select newest.source, newest.status as failing_check
    from newest
    cross join rules.intake as intake
    where newest.place = 1
        and newest.status in ('refused', 'held')
        and date_diff('day', newest.day, $day) < intake.unmended_days
    union
    select source, rule as failing_check
    from raw.checks
    where day = $day and batch_id = 0 and rule in ('fresh', 'volume', 'mix') and not passed
)

select needs.campaign, min(needs.source || ': ' || failing.failing_check) as failing_check
from rules.campaign_needs as needs
inner join failing on needs.source = failing.source
where not exists (
    select 1
    from ledger.audit_log as told
    where told.action = 'allow_stale_data'
        and told.subject = needs.campaign || ' ' || cast(cast($day + interval 1 day as date) as text)
)
group by needs.campaign
