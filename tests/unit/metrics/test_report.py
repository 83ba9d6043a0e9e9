"""The report page: what it says, that it stands alone, and that nothing in the data can break out of it."""

import re
from datetime import date, timedelta

import pyarrow as pa
import pytest

from html_pages import Page, outside_requests
from perennial.metrics.report import QUERIES, About, render_report
from perennial.metrics.report_campaigns import wilson
from perennial.metrics.words import compact, percent, points, whole

DAY = date(2026, 1, 31)
ABOUT = About(DAY, "Ada & Bob <Garden>", "EUR")
EVIL = "<script>alert(1)</script>&\"'"


def tables(days=70, **replaced):
    """Results of the report's queries for a small shop of `days` days."""
    dates = [DAY - timedelta(days=days - 1 - n) for n in range(days)]
    mean = [None if n < 27 else 100.0 for n in range(days)]
    found = {
        "days": {
            "day": dates,
            "orders": [10 if n < days - 28 else 12 for n in range(days)],
            "active_customers": [30] * days,
            "new_customers": [2] * days,
            "net_revenue": [500.0 if n < days - 28 else 600.0 for n in range(days)],
            "repeat_purchase_rate": [0.5 + n / 1000 for n in range(days)],
            "is_final": [n < days - 10 for n in range(days)],
            "net_revenue_mean": mean,
            "active_customers_mean": mean,
            "new_customers_mean": mean,
        },
        "rfm": {
            "place": [1, 1, 2],
            "segment": ["Champions", "Champions", EVIL],
            "code": ["555", "554", "111"],
            "customers": [40, 10, 50],
            "net_revenue_12m": [9000.0, 500.0, 500.0],
            "at_high_risk": [0, 1, 50],
        },
        "segments": {
            "day": [DAY - timedelta(days=1), DAY],
            "segment": ["vip", "vip"],
            "title": [EVIL, EVIL],
            "description": ["Spends a lot.", "Spends a lot."],
            "kind": ["value", "value"],
            "customers": [7, 8],
            "entered": [0, 1],
            "departed": [0, 0],
            "net_revenue_12m": [7000.0, 8000.0],
            "at_high_risk": [0, 1],
        },
        "tiers": {
            "place": [1, 2],
            "tier": ["seed", "leaf"],
            "from_points": [0, 250],
            "customers": [90, 10],
            "net_revenue_12m": [4000.0, 6000.0],
            "points_balance": [100, 5000],
        },
        "risk": {
            "risk": ["low", "medium", "high"],
            "bin": [2, 15, 19],
            "customers": [60, 15, 25],
            "net_revenue_12m": [6000.0, 1500.0, 2500.0],
            "at_stake": [600.0, 1100.0, 2400.0],
        },
        "decisions": {
            "campaign": ["win_back", "win_back"],
            "title": [EVIL, EVIL],
            "send_day": [DAY + timedelta(days=1)] * 2,
            "reason": ["send", "frequency_cap"],
            "customers": [30, 12],
        },
        "followed": {
            "campaign": ["win_back"] * 2,
            "title": [EVIL] * 2,
            "arm": ["treated", "holdout"],
            "variant": ["a", ""],
            "people": [200, 40],
            "converted": [20, 2],
            "revenue": [1000.0, 80.0],
            "still_open": [5, 0],
        },
        "mails": {
            "campaign": ["win_back"],
            "title": [EVIL],
            "variant": ["a"],
            **{
                field: [number]
                for number, field in enumerate(
                    ["complained", "unsubscribed", "bounced", "clicked", "opened", "delivered", "accepted", "sent"]
                )
            },
        },
        "health": {
            "source": ["web_orders", "web_orders", EVIL],
            "day": [DAY - timedelta(days=1), DAY, DAY],
            "landed": [100, 50, 10],
            "current": [90, 50, 8],
            "superseded": [4, 0, 0],
            "duplicate": [3, 0, 0],
            "quarantined": [2, 0, 0],
            "held": [1, 0, 0],
            "refused": [0, 0, 0],
            "freshness_hours": [0, 0, 48],
            "status": ["degraded", "ok", "warning"],
            "failing_check": ["price_not_negative", None, EVIL],
        },
    }
    assert found.keys() == QUERIES.keys()
    return {name: pa.table(columns) for name, columns in (found | replaced).items()}


def empty_tables():
    return {name: table.slice(0, 0) for name, table in tables().items()}


@pytest.fixture(scope="module")
def html():
    return render_report(tables(), ABOUT)


def test_headline_compares_with_the_28_days_before(html):
    text = Page(html).text
    assert "Saturday, 31 January 2026" in text
    assert re.search(r"Net revenue 16\.8.k EUR ▲ \+20\.0.%", text)  # 28 x 600 against 28 x 500
    assert re.search(r"Orders 336 ▲ \+20\.0.%", text)
    assert re.search(r"Repeat rate 56\.9.% ▲ \+2\.8.pt", text)  # .569 now, .541 28 days before
    assert "At high risk 25 customers" in text
    assert "EUR 2,400 a year at stake" in text


def test_page_makes_no_outside_request(html):
    assert outside_requests(html) == []
    links = {link.partition("#")[0] for link in Page(html).links}
    assert links == {"", "dictionary.html", "quality.html"}
    assert len(html.encode()) < 2_000_000


def test_each_source_leads_to_its_quality(html):
    assert {"quality.html#source-web_orders", "quality.html"} < Page(html).links


def test_links_lead_to_sections_that_exist(html):
    page = Page(html)
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= ids
    assert len(ids) == len([name for _, name, _ in page.attributes if name == "id"])


def test_everything_from_the_data_is_escaped(html):
    assert "<script" not in html
    assert Page(html).text.count("<script>alert(1)</script>") >= 7  # shown as it is: titles, segment, source, check
    assert "Ada & Bob <Garden>" in Page(html).text


def test_every_chart_has_a_text_alternative_and_fits_a_phone(html):
    drawings = re.findall(r'<svg class="w(\d+)"[^>]*role="img" aria-label="([^"]+)"', html)
    assert {width for width, _ in drawings} == {"1020", "500", "306"}
    for alt in {alt for _, alt in drawings}:
        assert "306" in {width for width, other in drawings if other == alt}
    assert '<meta name="viewport"' in html
    assert "prefers-color-scheme: dark" in html


def test_marks_say_their_figures_on_hover(html):
    assert "<title>31 Jan 2026: EUR 600 net revenue</title>" in html
    assert "<title>555 Champions: 40 customers, EUR 9,000 in 12 months</title>" in html
    assert "20 of 200 ordered, 10.0" in html


def test_accounting_identity_is_shown_and_checked(html):
    text = Page(html).text
    assert "landed = current + superseded + duplicate + quarantined + held + refused" in text
    assert "✓" in text
    assert "2 missing" in text  # the second source's 10 landed rows are 8 current ones


def test_reasons_are_in_plain_language(html):
    text = Page(html).text
    assert "Gets the mail 30" in text
    assert "Got as much mail as the contact policy allows 12" in text


def test_few_people_are_called_few(html):
    assert "Some groups are under 100 people" in html
    many = tables()["followed"].slice(0, 1)
    assert "Some groups are under 100 people" not in render_report(tables(followed=many.to_pydict()), ABOUT)


def test_empty_shop_says_what_is_missing():
    text = Page(render_report(empty_tables(), ABOUT)).text
    assert "No order or interaction has come in yet." in text
    assert "One day so far" not in text
    assert "Nobody has bought yet" in text
    assert "No campaign has decided about anybody yet." in text
    assert "No source has brought a file yet." in text


def test_first_day_draws_no_line_and_claims_no_change():
    html = render_report(tables(days=1), ABOUT)
    assert html.count("One day so far") == 4
    assert "first day" in html
    assert 'class="delta up"' not in html


def test_fewer_than_56_days_are_not_compared():
    text = Page(render_report(tables(days=40), ABOUT)).text
    assert "▲ +20.0" not in text
    assert "last 28 days" in text


def test_same_tables_give_the_same_page(html):
    assert render_report(tables(), ABOUT) == html


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_interval(successes, trials, low, high):
    """The last one is Newcombe's (1998) example; the others are the formula worked by hand."""
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_numbers_as_people_read_them():
    thin, minus, dash = "\N{NARROW NO-BREAK SPACE}", "\N{MINUS SIGN}", "\N{EN DASH}"
    assert [compact(n) for n in (None, 0, 9999, 12_345, 123_456, 1_234_567, -20_000)] == [
        dash, "0", "9,999", f"12.3{thin}k", f"123{thin}k", f"1.23{thin}M", f"{minus}20.0{thin}k",
    ]  # fmt: skip
    assert (whole(1234.6), percent(0.1234), points(-0.012)) == ("1,235", f"12.3{thin}%", f"{minus}1.2{thin}pt")
