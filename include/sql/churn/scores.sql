-- How far each buyer's silence goes beyond their own purchase rhythm. One row per customer with a completed order.
-- The rhythm is the mean gap between a person's purchase days, drawn towards that of the average repeat buyer by the
-- weight of `prior_gaps` gaps: few purchases say little. `churn_probability` is the probability that somebody with this
-- rhythm, buying at random moments, would *not* stay silent this long: 1 - exp(-silence / rhythm). It ranks; it is not
-- calibrated.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     none

with population as (
    select
        cast(sum(cast(mean_gap_days as decimal(18, 6))) as double) / nullif(count(*), 0) as mean_gap_days
    from customers.purchases
    where purchase_days > 1
),

buyers as (
    select
        purchases.customer_id,
        purchases.purchase_days - 1 as gaps,
        date_diff('day', purchases.last_order_date, $day) as silent_days,
        (
            coalesce(purchases.mean_gap_days, 0) * (purchases.purchase_days - 1)
            + books.prior_gaps * coalesce(population.mean_gap_days, books.default_gap_days)
        ) / (purchases.purchase_days - 1 + books.prior_gaps) as expected_gap_days,
        books.medium_at,
        books.high_at
    from customers.purchases as purchases
    cross join population
    cross join rules.churn as books
    where purchases.orders > 0
),

scored as (
    select
        customer_id,
        gaps,
        silent_days,
        expected_gap_days,
        silent_days / nullif(expected_gap_days, 0) as overdue,
        1 - exp(-silent_days / nullif(expected_gap_days, 0)) as churn_probability,
        medium_at,
        high_at
    from buyers
)

select
    customer_id,
    gaps,
    silent_days,
    cast(expected_gap_days as double) as expected_gap_days,
    cast(overdue as double) as overdue,
    cast(churn_probability as double) as churn_probability,
    case
        when overdue >= high_at then 'high'
        when overdue >= medium_at then 'medium'
        else 'low'
    end as churn_risk,
    $day as as_of_date
from scored
