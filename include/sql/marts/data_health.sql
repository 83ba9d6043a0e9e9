-- What came from each source on each day and where every row of it is now. One row per source and day of landing.
-- landed = current + superseded + duplicate + quarantined + held + refused, always. The newest day has a row for each source,
-- also for one that brought nothing.
-- grain:   source, day
-- refresh: rebuild
-- pii:     none

with files as (
    select
        files.source,
        files.day,
        files.status,
        files.rows as landed,
        case when files.status = 'loaded' then files.quarantined else 0 end as quarantined,
        case when files.status = 'held' then files.rows else coalesce(waits.waiting_rows, 0) end as held,
        case when files.status = 'refused' then files.rows else 0 end as refused,
        case when files.status = 'duplicate' then files.rows else coalesce(fates.duplicate_rows, 0) end as duplicate,
        coalesce(fates.current_rows, 0) as current,
        coalesce(fates.superseded_rows, 0) as superseded,
        coalesce(fates.newest_day, case when fates.file is not null then files.day end) as newest_day
    from raw.files as files
    left join core.file_fates as fates
        on files.source = fates.source and files.file = fates.file and files.version = fates.version
    left join core.file_waits as waits
        on files.source = waits.source and files.file = waits.file and files.version = waits.version
    where files.day <= $day
),

days as (
    select
        source,
        day,
        sum(landed) as landed,
        sum(current) as current,
        sum(superseded) as superseded,
        sum(duplicate) as duplicate,
        sum(quarantined) as quarantined,
        sum(held) as held,
        sum(refused) as refused,
        max(case when status in ('refused', 'held') then 1 else 0 end) as has_refusal,
        max(newest_day) as newest_day
    from files
    group by source, day
    union all
    select source, $day as day, 0, 0, 0, 0, 0, 0, 0, 0, cast(null as date)
    from files
    group by source
    having max(day) < $day
),

fresh as (
    select
        source,
        day,
        landed,
        current,
        superseded,
        duplicate,
        quarantined,
        held,
        refused,
        has_refusal,
        max(newest_day) over (partition by source order by day) as newest_day
    from days
),

failing as (
    select
        source,
        day,
        min(case when severity = 'critical' then rule end) as critical_rule,
        min(rule) as any_rule
    from raw.checks
    where not passed and severity in ('critical', 'warning')
    group by source, day
)

select
    fresh.source,  -- name of the source
    fresh.day,  -- business day of the run that took the files
    cast(fresh.landed as bigint) as landed,  -- rows in the files taken (count)
    cast(fresh.current as bigint) as current,  -- rows in force (count)
    cast(fresh.superseded as bigint) as superseded,  -- rows replaced by a later one (count)
    cast(fresh.duplicate as bigint) as duplicate,  -- rows that say what another row says (count)
    cast(fresh.quarantined as bigint) as quarantined,  -- rows that broke a critical rule, kept with their reasons (count)
    cast(fresh.held as bigint) as held,  -- rows of held files, and rows dated after the day (count)
    cast(fresh.refused as bigint) as refused,  -- rows of refused files (count)
    24 * greatest(date_diff('day', fresh.newest_day, fresh.day), 0) as freshness_hours,  -- from the newest row's day to this day (hours)
    case
        when fresh.has_refusal = 1 then 'failed'
        when failing.critical_rule is not null then 'degraded'
        when failing.any_rule is not null then 'warning'
        else 'ok'
    end as status,  -- ok; warning: a rule that warns broke; degraded: rows quarantined; failed: a file refused or held
    coalesce(failing.critical_rule, failing.any_rule) as failing_check  -- first broken rule, critical ones first
from fresh
left join failing on fresh.source = failing.source and fresh.day = failing.day
