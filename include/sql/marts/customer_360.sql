-- Everything known about a person that BI may see, as of the end of the day; no personal data. One row per customer.
-- grain:   customer_id
-- refresh: rebuild
-- pii:     none

select
    audience.customer_id,  -- the person after identity resolution
    audience.first_order_date,  -- day of the first completed order
    audience.last_order_date,  -- day of the last completed order
    audience.orders,  -- completed orders ever (count)
    audience.net_revenue,  -- completed lines minus discounts and returns, without tax and shipping (business currency)
    audience.orders_12m,  -- completed orders in the last 365 days (count)
    audience.net_revenue_12m,  -- net revenue in the last 365 days (business currency)
    audience.aov,  -- net revenue per completed order (business currency)
    audience.recency_days,  -- whole days since the last completed order
    audience.rfm_code,  -- recency, frequency, monetary scores, 1 to 5 each, 5 is best
    audience.rfm_segment,  -- name of the RFM code by the rule book
    audience.tier,  -- loyalty tier
    audience.points_balance,  -- loyalty points to spend (points)
    audience.churn_risk,  -- low, medium or high; low for people who never bought
    audience.churn_probability,  -- rank of the silence against the own rhythm, 0 to 1, not calibrated; null without orders
    cast(
        audience.net_revenue_12m * (1 - coalesce(audience.churn_probability, 0)) as decimal(14, 2)
    ) as clv_12m,  -- expected net revenue of the next 12 months: last 12 months' by the chance to stay (business currency)
    audience.country,  -- ISO 3166 code
    audience.locale,  -- language the person is written to in
    audience.email_domain,  -- the part of the e-mail address after the @
    audience.has_email_consent,  -- some e-mail topic is consented to
    audience.is_suppressed,  -- the address is blocked for at least one topic
    audience.segments,  -- names of the segments the person is in, separated by commas
    audience.as_of_date  -- the business day at whose end all this held
from campaigns.audience as audience
