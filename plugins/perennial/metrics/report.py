"""
The daily report: one page that says how the shop is doing, from the published tables alone.

`QUERIES` says what it reads of a snapshot; `render_report` makes the page of the results.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from perennial.metrics.pages import render_page
from perennial.metrics.report_campaigns import campaign_section
from perennial.metrics.report_sections import (
    customer_section,
    headline,
    health_section,
    revenue_section,
    rfm_section,
    risk_section,
    segment_section,
    tier_section,
)
from perennial.metrics.shapes import Rows

if TYPE_CHECKING:
    import pyarrow as pa

# Over the tables of a snapshot: name -> SELECT. Every result is ordered.
QUERIES = {
    "days": """
        select
            day, orders, active_customers, new_customers, cast(net_revenue as double) as net_revenue,
            repeat_purchase_rate, is_final,
            case when count(*) over month = 28 then avg(cast(net_revenue as double)) over month end as net_revenue_mean,
            case when count(*) over month = 28 then avg(active_customers) over month end as active_customers_mean,
            case when count(*) over month = 28 then avg(new_customers) over month end as new_customers_mean
        from marts.daily_kpis
        window month as (order by day rows between 27 preceding and current row)
        order by day
    """,
    "rfm": """
        select
            map.place, map.segment, map.code, count(customers.customer_id) as customers,
            cast(coalesce(sum(customers.net_revenue_12m), 0) as double) as net_revenue_12m,
            count(*) filter (where customers.churn_risk = 'high') as at_high_risk
        from internal.rfm_map as map
        left join marts.customer_360 as customers on map.code = customers.rfm_code
        group by map.place, map.segment, map.code
        order by map.place, map.code
    """,
    "segments": """
        select
            daily.day, daily.segment, coalesce(books.title, daily.segment) as title,
            coalesce(books.description, '') as description, daily.kind, daily.customers, daily.entered, daily.departed,
            cast(daily.net_revenue_12m as double) as net_revenue_12m, daily.at_high_risk
        from marts.segment_daily as daily
        left join internal.segments as books on daily.segment = books.segment
        where daily.day > (select max(day) from marts.segment_daily) - interval 91 day
        order by books.place, daily.segment, daily.day
    """,
    "tiers": """
        select
            levels.place, levels.tier, levels.from_points, count(customers.customer_id) as customers,
            cast(coalesce(sum(customers.net_revenue_12m), 0) as double) as net_revenue_12m,
            cast(coalesce(sum(customers.points_balance), 0) as bigint) as points_balance
        from internal.tier_levels as levels
        left join marts.customer_360 as customers on levels.tier = customers.tier
        group by levels.place, levels.tier, levels.from_points
        order by levels.place
    """,
    "risk": """
        select
            churn_risk as risk, least(cast(floor(churn_probability * 20) as bigint), 19) as bin,
            count(*) as customers, cast(sum(net_revenue_12m) as double) as net_revenue_12m,
            cast(sum(net_revenue_12m - clv_12m) as double) as at_stake
        from marts.customer_360
        where churn_probability is not null
        group by all
        order by all
    """,
    "decisions": """
        select
            decisions.campaign, coalesce(books.title, decisions.campaign) as title, decisions.send_day,
            decisions.reason, cast(sum(decisions.people) as bigint) as customers
        from internal.decisions as decisions
        left join internal.campaigns as books on decisions.campaign = books.campaign
        where decisions.send_day = (
            select max(newest.send_day) from internal.decisions as newest where newest.campaign = decisions.campaign
        )
        group by all
        order by all
    """,
    "followed": """
        with people as (
            select campaign, customer_id, arm, min(variant) as variant, min(send_day) as from_day
            from internal.decisions
            where reason in ('send', 'campaign_holdout')
            group by campaign, customer_id, arm
        ),
        orders as (
            select people.campaign, people.customer_id, people.arm, sum(orders.net_revenue) as revenue
            from people
            join internal.campaigns as books on people.campaign = books.campaign
            join core.orders as orders
                on people.customer_id = orders.customer_id and orders.is_completed
                and orders.ordered_date >= people.from_day
                and orders.ordered_date < people.from_day + cast(books.goal_days as integer)
            group by all
        )
        select
            people.campaign, books.title, people.arm,
            case when people.arm = 'holdout' then '' else people.variant end as variant,
            count(*) as people, count(orders.customer_id) as converted,
            cast(coalesce(sum(orders.revenue), 0) as double) as revenue,
            count(*) filter (
                where people.from_day + cast(books.goal_days as integer) > (select max(day) from marts.daily_kpis) + 1
            ) as still_open
        from people
        join internal.campaigns as books on people.campaign = books.campaign
        left join orders
            on people.campaign = orders.campaign and people.customer_id = orders.customer_id and people.arm = orders.arm
        group by all
        order by 1, 3 desc, 4
    """,
    "mails": """
        select
            performance.campaign, coalesce(books.title, performance.campaign) as title, performance.variant,
            cast(sum(performance.sent) as bigint) as sent, cast(sum(performance.accepted) as bigint) as accepted,
            cast(sum(performance.delivered) as bigint) as delivered,
            cast(sum(performance.bounced) as bigint) as bounced,
            cast(sum(performance.opened_unique) as bigint) as opened,
            cast(sum(performance.clicked_unique) as bigint) as clicked,
            cast(sum(performance.unsubscribed) as bigint) as unsubscribed,
            cast(sum(performance.complained) as bigint) as complained
        from marts.campaign_performance as performance
        left join internal.campaigns as books on performance.campaign = books.campaign
        where performance.arm = 'treated'
        group by all
        having sum(performance.sent) > 0
        order by performance.campaign, performance.variant
    """,
    "health": """
        select
            source, day, landed, current, superseded, duplicate, quarantined, held, refused, freshness_hours, status,
            failing_check
        from marts.data_health
        where day > (select max(day) from marts.data_health) - interval 28 day
        order by source, day
    """,
}


@dataclass(frozen=True)
class About:
    """What the report is about."""

    day: date
    shop_name: str
    currency: str


def render_report(tables: Mapping[str, "pa.Table"], about: About) -> str:
    """The report as one HTML page; `tables` are the results of QUERIES by name. Sections without data say so."""
    rows: dict[str, Rows] = {name: tables[name].to_pylist() for name in QUERIES}
    return render_page(
        "report.html.j2",
        about=about,
        headline=headline(rows, about.currency),
        revenue=revenue_section(rows["days"], about.currency),
        customers=customer_section(rows["days"]),
        rfm=rfm_section(rows["rfm"], about.currency),
        segments=segment_section(rows["segments"]),
        tiers=tier_section(rows["tiers"]),
        risk=risk_section(rows["risk"], about.currency),
        campaigns=campaign_section(rows["decisions"], rows["followed"], rows["mails"], about.currency),
        health=health_section(rows["health"]),
    )
