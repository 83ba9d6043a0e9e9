"""
Day by day is the same as all at once.

Whatever files come in whatever order, with late rows, corrections, new profiles and new products, and wherever a run is
killed: tables refreshed only where something was touched equal tables built whole.
"""

import hashlib
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engines import SETTINGS
from perennial.contracts import load_contracts
from perennial.flows.mirror import create_mirrors
from perennial.flows.raw_tables import create_raw_tables
from perennial.warehouse import Materializer
from table_bench import insert

FIRST = date(2026, 3, 1)
TABLES = {
    "core.customers",
    "core.day_totals",
    "core.file_fates",
    "core.file_waits",
    "customers.favourites",
    "customers.purchases",
    "loyalty.balances",
    "marts.data_health",
}


class Shop:
    """A warehouse fed file by file and refreshed day by day."""

    def __init__(self, bench):
        self.warehouse = bench.empty()
        self.columns = bench.columns
        self.models = {table: bench.models[table] for table in bench.models if table in needed(bench.models, TABLES)}
        self.batches = count(1)
        self.versions = {}
        create_raw_tables(self.warehouse, load_contracts(SETTINGS).values())
        create_mirrors(self.warehouse)
        materializer = Materializer(self.warehouse, self.models, FIRST)
        for table, rows in bench.rule_books.items():
            materializer.load_rules(table, rows)

    def land(self, file, day):
        contract, name, rows = file
        self.versions[name] = version = self.versions.get(name, 0) + 1
        stamps = {"source": contract, "file": name, "version": version, "batch_id": next(self.batches)}
        accepted = {"day": day, "status": "loaded", "rows": len(rows), "accepted": len(rows), "quarantined": 0}
        insert(self.warehouse, "raw.files", self.columns["raw.files"], [stamps | accepted])
        landed = [
            {f"_{name}": value for name, value in stamps.items()} | {"_row": number} | READERS[contract](row, day)
            for number, row in enumerate(rows, 1)
        ]
        insert(self.warehouse, f"raw.{contract}", self.columns[f"raw.{contract}"], landed)

    def run(self, day, killed_after=None, meanwhile=()):
        """Refresh as of `day`; `meanwhile` lands while the run goes on. Killed, it leaves everything where it is."""
        materializer = Materializer(self.warehouse, self.models, day)
        materializer.seed()
        for number, model in enumerate(self.models.values()):
            if number == killed_after:
                return
            materializer.build(model)
            if number == len(self.models) // 2:
                for file in meanwhile:
                    self.land(file, day)
        materializer.settle()

    def content(self):
        return {
            table: sorted(self.warehouse.query(f"select * from {table}").to_pylist(), key=repr) for table in self.models
        }

    def copy_raw_to(self, other):
        for contract in (*READERS, "files"):
            other.warehouse.append(f"raw.{contract}", self.warehouse.query(f"select * from raw.{contract}"))


def needed(models, tables):
    """`tables` and all that they are made from."""
    found = set(tables)
    for table in reversed(models):
        if table in found:
            found |= models[table].depends_on & models.keys()
    return found


def stamped(key, content, day):
    digest = hashlib.md5(json.dumps(content, default=str).encode(), usedforsecurity=False).hexdigest()
    return content | {"_key": key, "_hash": digest, "_day": day}


def order_line(row, day):
    order, line, age, who, sku, quantity, price, discount, status, returns = row
    on = day - timedelta(age)
    content = {
        "order_id": order,
        "line_no": line,
        "ordered_at": datetime.combine(on, time(12), UTC),
        "ordered_date": on,
        **who,
        "sku": sku,
        "quantity": quantity,
        "unit_price": price,
        "discount": discount,
        "status": status,
        "returns_order_id": returns,
    }
    return stamped(f"{order}|{line}", content, on)


def profile(row, day):
    reference, email = row
    return stamped(reference, {"customer_ref": reference, "email": email}, None)


def product(row, day):
    sku, category, unit_cost = row
    return stamped(sku, {"sku": sku, "category": category, "unit_cost": unit_cost}, None)


READERS = {"order_lines": order_line, "customers": profile, "products": product}

EMAILS = st.sampled_from(["ada@example.com", "bob@example.com"])
WHO = st.one_of(
    st.just({}),
    EMAILS.map(lambda email: {"email": email}),
    st.sampled_from(["1", "2"]).map(lambda reference: {"customer_ref": reference}),
)
MONEY = st.integers(0, 5_000).map(lambda cents: Decimal(cents) / 100)
ORDERS = ["o1", "o2", "o3", "o4"]
LINES = st.tuples(
    st.sampled_from(ORDERS),
    st.sampled_from(["1", "2"]),
    st.integers(-1, 4),  # days before the file came; -1 is dated tomorrow
    WHO,
    st.sampled_from([None, "fern", "moss"]),
    st.sampled_from([Decimal("-1"), Decimal("1"), Decimal("2.5")]),
    MONEY,
    st.none() | MONEY,
    st.sampled_from(["completed", "completed", "returned", "cancelled", "pending"]),
    st.none() | st.sampled_from(ORDERS),
)
PROFILES = st.tuples(st.sampled_from(["1", "2"]), st.none() | EMAILS)
PRODUCTS = st.tuples(st.sampled_from(["fern", "moss"]), st.sampled_from([None, "plants", "pots"]), MONEY)
FILES = st.one_of(
    *[st.tuples(st.just("order_lines"), st.sampled_from("abc"), st.lists(LINES, max_size=5))] * 3,
    st.tuples(st.just("customers"), st.sampled_from("xy"), st.lists(PROFILES, max_size=2)),
    st.tuples(st.just("products"), st.just("z"), st.lists(PRODUCTS, max_size=2)),
)
RUNS = st.tuples(
    st.lists(FILES, max_size=3),
    st.integers(1, 2),  # days since the run before
    st.none() | st.integers(0, 20),  # killed after so many builds, and then run again
    st.lists(FILES, max_size=1),  # what lands while it runs
)


def line(order, age, **other):
    told = {"who": {"email": "ada@example.com"}, "quantity": Decimal("1"), "status": "completed"} | other
    return (order, "1", age, told["who"], "fern", told["quantity"], Decimal("9.99"), None, told["status"], None)


EVERYDAY = [
    ([("order_lines", "a", [line("o1", 0), line("o2", -1)]), ("order_lines", "c", [line("o4", 0)])], 1, None, []),
    ([("customers", "x", [("1", "ada@example.com")])], 1, 12, [("order_lines", "b", [line("o3", 3)])]),
    ([("products", "z", [("fern", "plants", Decimal("4"))])], 1, None, []),
    ([("order_lines", "c", [line("o4", 4, status="returned")])], 1, 2, []),
]


@pytest.mark.slow
@example(runs=EVERYDAY)  # a known person, a late order, a new product, and a file that comes again
@given(runs=st.lists(RUNS, min_size=2, max_size=3))
@hypothesis_settings(max_examples=4, deadline=None)
def test_day_by_day_equals_all_at_once(bench, runs):
    daily, whole, day = Shop(bench), Shop(bench), FIRST
    for files, days, killed_after, meanwhile in runs:
        day += timedelta(days)
        for file in files:
            daily.land(file, day)
        if killed_after is not None:
            daily.run(day, killed_after)
        daily.run(day, meanwhile=meanwhile)
    day += timedelta(1)
    daily.run(day)  # what landed meanwhile, and what was dated tomorrow
    daily.copy_raw_to(whole)
    whole.run(day)
    found, expected = daily.content(), whole.content()
    for table in expected:
        assert found[table] == expected[table], table
    for row in found["marts.data_health"]:
        places = ("current", "superseded", "duplicate", "quarantined", "held", "refused")
        assert row["landed"] == sum(row[place] for place in places), row


def test_profiles_that_come_again_unchanged_touch_nobody(bench):
    """Many systems export all their customers every day; what is known of each must not be worked out anew."""
    shop, profiles = Shop(bench), ("customers", "x", [("1", "ada@example.com"), ("2", None)])
    shop.land(profiles, FIRST)
    shop.land(("order_lines", "a", [line("o1", 0)]), FIRST)
    shop.run(FIRST)
    shop.land(profiles, FIRST)
    shop.run(FIRST + timedelta(1), killed_after=len(shop.models) - 1)
    assert shop.warehouse.query("select key from touched.people order by key")["key"].to_pylist() == ["1", "2"]
    assert shop.warehouse.query("select key from touched.customers")["key"].to_pylist() == []
