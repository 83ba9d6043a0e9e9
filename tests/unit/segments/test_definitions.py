import duckdb
import pytest
from sqlglot import parse_one

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import REPOSITORY, load_settings
from perennial.segments.definitions import PROFILE_COLUMNS, compile_segment_names, compile_segments, load_segments

ENGINE_TYPES = {
    "text": "text",
    "number": "double",
    "date": "date",
    "boolean": "boolean",
    "list": "text",
}


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path, include=tmp_path, now="2026-02-01T09:30:00+01:00")


def write(settings, text):
    path = settings.include / "rules" / "segments.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def segments_of(customers):
    """{segment: [customer_id]} of the segments we ship, over customers given as columns that differ from nothing."""
    shipped = load_segments(load_settings(include=REPOSITORY / "include"))
    with duckdb.connect() as connection:
        columns = ", ".join(f"{name} {ENGINE_TYPES[family]}" for name, family in PROFILE_COLUMNS.items())
        connection.execute(f"create schema customers; create table customers.profile ({columns})")
        for customer in customers:
            names = ", ".join(customer)
            marks = ", ".join("?" * len(customer))
            connection.execute(f"insert into customers.profile ({names}) values ({marks})", list(customer.values()))
        rows = connection.execute(compile_segments(shipped), {"day": "2026-01-31"}).fetchall()
        names = connection.execute(compile_segment_names(shipped), {"day": "2026-01-31"}).fetchall()
    found = {}
    for segment, customer in sorted(rows):
        found.setdefault(segment, []).append(customer)
    assert dict(names) == {
        customer["customer_id"]: ",".join(segment for segment in found if customer["customer_id"] in found[segment])
        for customer in customers
    }
    return found


def test_the_shipped_segments_find_the_people_they_describe():
    found = segments_of(
        [
            {
                "customer_id": "vip",
                "orders": 9,
                "orders_12m": 6,
                "net_revenue_12m": 1200,
                "aov": 180,
                "recency_days": 3,
            },
            {"customer_id": "overdue", "orders": 4, "recency_days": 90, "mean_gap_days": 30, "last_nps": 9},
            {"customer_id": "new", "orders": 1, "recency_days": 5, "first_order_date": "2026-01-26", "age": 18},
            {"customer_id": "looker", "orders": 0, "signup_date": "2026-01-01", "carts_30d": 1, "locale": "zh-CN"},
            {"customer_id": "cross", "orders": 1, "recency_days": 400, "open_tickets": 1, "country": "AT"},
            {"customer_id": "me", "email_domain": "shop.example", "interests": "books, garden"},
        ]
    )
    assert found == {
        "vip": ["vip"],
        "big_baskets": ["vip"],
        "overdue": ["overdue"],
        "advocates": ["overdue"],
        "new_customers": ["new"],
        "young_adults": ["new"],
        "never_bought": ["looker"],
        "browsing_now": ["looker"],
        "chinese_speaking": ["looker"],
        "one_time_buyers": ["cross"],
        "lapsed": ["cross"],
        "open_complaint": ["cross"],
        "dach": ["cross"],
        "staff": ["me"],
        "garden_lovers": ["me"],
    }


def test_the_compiled_query_is_one_union_of_plain_selects():
    shipped = load_segments(load_settings(include=REPOSITORY / "include"))
    assert len(list(parse_one(compile_segments(shipped), dialect="duckdb").selects)) == 2
    assert compile_segments(shipped).count("union all") == len(shipped) - 1


def test_a_wrong_condition_names_file_and_segment(settings):
    write(settings, "segments: {vip: {title: VIP, description: x, kind: value, where: ordres > 3}}")
    with pytest.raises(BadConfig, match=r"segments\.yaml: field segments\.vip\.where: .*Did you mean orders"):
        load_segments(settings)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("segments: {}", "at least 1 item"),
        ("segments: {VIP: {title: VIP, description: x, kind: value, where: orders > 3}}", "segments.VIP"),
        (
            "segments: {vip: {title: VIP, description: x, kind: value, where: orders > 3, owner: me}}",
            "segments.vip.owner",
        ),
        ("segments: {vip: {title: VIP, description: x, kind: shiny, where: orders > 3}}", "'shiny'"),
        ("segments: {vip: {title: a}, vip: {title: b}}", "'vip' is written twice"),
        (
            "segments: {vip: {title: V, description: x, kind: value, where: in_segment('vip')}}",
            "None can be named here",
        ),
    ],
)
def test_a_wrong_segments_file_is_refused(settings, text, problem):
    write(settings, text)
    with pytest.raises(BadConfig) as refusal:
        load_segments(settings)
    assert problem in str(refusal.value)
