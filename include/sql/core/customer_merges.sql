-- Which customer numbers became another's, or came apart again, on which day, against what earlier days found. One row
-- per change.
-- grain:   day, former_id
-- refresh: history
-- pii:     none

with told as (
    select
        former_id,
        customer_id,
        change,
        row_number() over (partition by former_id order by day desc) as place
    from core.customer_merges
    where day < $day
),

before as (
    select former_id, customer_id
    from told
    where place = 1 and change = 'merged'
),

compared as (
    select
        coalesce(merged.former_id, before.former_id) as former_id,
        merged.customer_id,
        before.customer_id as customer_before
    from core.merged_customers as merged
    full outer join before on merged.former_id = before.former_id
)

select
    cast($day as date) as day,
    cast(former_id as text) as former_id,
    cast(coalesce(customer_id, customer_before) as text) as customer_id,
    cast(case when customer_id is null then 'unmerged' else 'merged' end as text) as change
from compared
where customer_id is distinct from customer_before
