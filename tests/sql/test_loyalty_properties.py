"""What must hold of points and scores, whatever people buy and give back."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

DAY = date(2026, 12, 31)
FIRST = date(2026, 1, 1)
CENTS = st.integers(0, 100_000).map(lambda cents: Decimal(cents) / 100)
DAYS = st.integers(0, 300).map(lambda days: FIRST + timedelta(days))
RATES = st.integers(1, 40).map(lambda tenths: Decimal(tenths) / 10)
CATEGORIES = st.sampled_from(["plants", "pots"])


@st.composite
def rules(draw):
    start = draw(DAYS)
    return {
        "event": "purchase",
        "points_per_unit": draw(RATES),
        "category": draw(st.none() | CATEGORIES),
        "from_day": start,
        "to_day": draw(st.none() | st.integers(1, 200).map(lambda days: start + timedelta(days))),
    }


@st.composite
def orders(draw):
    """A sale, and refunds of it that add up to no more: under its own number, or another that names it."""
    order, sold_on, category = draw(st.uuids()).hex, draw(DAYS), draw(CATEGORIES)
    left = sold = draw(CENTS)
    line = {"sale_id": order, "customer_id": draw(st.sampled_from(["a", "b"])), "category": category, "discounts": 0}
    sale = {"order_id": order, "day": sold_on, "is_sale": True, "is_refund": False, "gross_revenue": sold, "refunds": 0}
    lines = [line | sale]
    for days_later in draw(st.lists(st.integers(0, 60), max_size=4)):
        back = min(left, draw(CENTS))
        left -= back
        own_number = draw(st.booleans())
        number = (
            {"order_id": f"r{len(lines)}-{order}", "returns_order_id": order} if own_number else {"order_id": order}
        )
        refund = {"is_sale": False, "is_refund": True, "gross_revenue": 0, "refunds": back}
        lines.append(line | number | refund | {"day": sold_on + timedelta(days_later)})
    return lines


@given(st.lists(orders(), min_size=1, max_size=6), st.lists(rules(), min_size=1, max_size=3))
@hypothesis_settings(max_examples=20, deadline=None)
def test_refunds_never_take_more_than_the_sale_gave(bench, sold, book):
    lines = [line | {"line_id": f"{order}-{n}"} for order, rows in enumerate(sold) for n, line in enumerate(rows)]
    rule_rows = [rule | {"rule": f"rule{number}"} for number, rule in enumerate(book)]
    given_tables = {"core.order_lines": lines, "rules.earning": rule_rows}
    entries = bench.build("loyalty.points_entries", DAY, given_tables).to_pylist()
    kept = defaultdict(int)
    for entry in entries:
        _, line_id, rule = entry["entry_id"].split(":")
        kept[line_id.split("-")[0], rule] += entry["points"]
    assert all(points >= 0 for points in kept.values()), dict(kept)

    balances = bench.build("loyalty.balances", DAY, {"loyalty.points_entries": entries}).to_pylist()
    sums = defaultdict(int)
    for entry in entries:
        sums[entry["customer_id"]] += entry["points"]
    assert {row["customer_id"]: row["points_balance"] for row in balances} == dict(sums)
    assert all(row["points_balance"] == row["points_earned"] - row["points_redeemed"] for row in balances)


BUYERS = st.tuples(st.integers(0, 400), st.integers(1, 8), st.integers(-2_000, 50_000))


@given(st.lists(BUYERS, min_size=1, max_size=40))
@hypothesis_settings(max_examples=20, deadline=None)
def test_rfm_scores_rise_with_what_they_score(bench, buyers):
    purchases = [
        {
            "customer_id": f"c{number}",
            "last_order_date": DAY - timedelta(recency),
            "orders": orders,
            "net_revenue": Decimal(cents) / 100,
        }
        for number, (recency, orders, cents) in enumerate(buyers)
    ]
    scored = bench.build("customers.rfm", DAY, {"customers.purchases": purchases}).to_pylist()
    assert len(scored) == len(buyers)  # every code has a name
    for value, score, sign in [
        ("recency_days", "recency", -1),
        ("frequency", "frequency", 1),
        ("monetary", "monetary", 1),
    ]:
        ranked = sorted((sign * row[value], row[f"{score}_score"]) for row in scored)
        assert all(1 <= points <= 5 for _, points in ranked)
        for (low, low_score), (high, high_score) in pairwise(ranked):
            assert low_score == high_score if low == high else low_score <= high_score
