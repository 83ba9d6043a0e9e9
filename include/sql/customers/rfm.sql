-- Recency, frequency and money of each buyer, scored 1 to 5 (5 is best). One row per customer with a completed order.
-- A score is the fifth of all buyers in which the value lies; equal values share the lower fifth, so nobody is told apart
-- by chance. Codes are named by the rule book `rfm`.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     none

with buyers as (
    select
        customer_id,
        date_diff('day', last_order_date, $day) as recency_days,
        orders as frequency,
        net_revenue as monetary
    from customers.purchases
    where orders > 0
),

ranked as (
    select
        customer_id,
        recency_days,
        frequency,
        monetary,
        rank() over (order by recency_days desc) as recency_rank,
        rank() over (order by frequency) as frequency_rank,
        rank() over (order by monetary) as monetary_rank,
        count(*) over () as buyers
    from buyers
),

scored as (
    select
        customer_id,
        recency_days,
        frequency,
        monetary,
        1 + cast(floor(5.0 * (recency_rank - 1) / buyers) as bigint) as recency_score,
        1 + cast(floor(5.0 * (frequency_rank - 1) / buyers) as bigint) as frequency_score,
        1 + cast(floor(5.0 * (monetary_rank - 1) / buyers) as bigint) as monetary_score
    from ranked
),

coded as (
    select
        customer_id,
        recency_days,
        frequency,
        monetary,
        recency_score,
        frequency_score,
        monetary_score,
        cast(recency_score as text) || cast(frequency_score as text) || cast(monetary_score as text) as rfm_code
    from scored
)

select
    coded.customer_id,
    coded.recency_days,
    coded.frequency,
    coded.monetary,
    coded.recency_score,
    coded.frequency_score,
    coded.monetary_score,
    coded.rfm_code,
    names.segment as rfm_segment
from coded
inner join rules.rfm as names on coded.rfm_code = names.code
