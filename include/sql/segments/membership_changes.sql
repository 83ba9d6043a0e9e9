-- Who entered and who left which segment on which day, against what earlier days found. One row per change.
-- grain:   day, segment, customer_id
-- refresh: history
-- pii:     none

with told as (
    select
        segment,
        customer_id,
        change,
        row_number() over (partition by segment, customer_id order by day desc) as place
    from segments.membership_changes
    where day < $day
),

before as (
    select segment, customer_id
    from told
    where place = 1 and change = 'entered'
),

compared as (
    select
        coalesce(membership.segment, before.segment) as segment,
        coalesce(membership.customer_id, before.customer_id) as customer_id,
        membership.customer_id is not null as is_member,
        before.customer_id is not null as was_member
    from segments.membership as membership
    full outer join before
        on membership.segment = before.segment and membership.customer_id = before.customer_id
)

select
    cast($day as date) as day,
    cast(segment as text) as segment,
    cast(customer_id as text) as customer_id,
    cast(case when is_member then 'entered' else 'left' end as text) as change
from compared
where is_member <> was_member
