"""
Day by day is the same as all at once.

Whatever files come in whatever order, with late rows, corrections, new profiles and new products, whoever is found to
be somebody else or no longer, and wherever a run is killed: tables refreshed only where something was touched equal
tables built whole. Nor does it matter in what parts, or in what order, the same rows come.
"""

import hashlib
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count, pairwise

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engines import SETTINGS
from perennial.contracts import load_contracts
from perennial.customers.identity import name_of
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
    "core.merged_customers",
    "customers.favourites",
    "customers.purchases",
    "customers.voice",
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
        self.book("rules.identifiers", [{"kind": "email", "at_most": 2}, {"kind": "device", "at_most": 1}])

    def book(self, table, rows):
        """Put another rule book in the place of what it was."""
        columns = self.warehouse.query(f"select * from {table}").schema
        Materializer(self.warehouse, self.models, FIRST).load_rules(table, pa.Table.from_pylist(rows, columns))

    def cut(self, links):
        names = [(name_of(one), name_of(other)) for pair in links for one, other in (pair, reversed(pair))]
        self.book("rules.identity_cuts", [{"one": one, "other": other} for one, other in names])

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
    return stamped(f"{order}|{line}", content, on) | {"_deleted": status == "deleted"}


def profile(row, day):
    reference, email, card = row
    return stamped(reference, {"customer_ref": reference, "email": email, "loyalty_card": card}, None)


def event(row, day):
    number, age, who = row
    on = day - timedelta(age)
    content = {
        "event_id": number,
        "occurred_at": datetime.combine(on, time(12), UTC),
        "occurred_date": on,
        "kind": "review",
        "channel": "app",
        **who,
    }
    return stamped(number, content, on)


def product(row, day):
    sku, category, unit_cost = row
    return stamped(sku, {"sku": sku, "category": category, "unit_cost": unit_cost}, None)


READERS = {"order_lines": order_line, "customers": profile, "products": product, "interactions": event}

EMAILS = st.sampled_from(["ada@example.com", "bob@example.com"])
REFERENCES = st.sampled_from(["1", "2", "3"])
DEVICES = st.sampled_from(["tablet", "phone"])
WHO = st.one_of(
    st.just({}),
    st.builds(lambda email: {"email": email}, EMAILS),
    st.builds(lambda reference: {"customer_ref": reference}, REFERENCES),
    st.builds(lambda reference, email: {"customer_ref": reference, "email": email}, REFERENCES, EMAILS),
    st.builds(lambda email: {"email": email, "phone": "+49301234567"}, EMAILS),
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
    st.sampled_from(["completed", "completed", "returned", "cancelled", "pending", "deleted"]),
    st.none() | st.sampled_from(ORDERS),
)
PROFILES = st.tuples(REFERENCES, st.none() | EMAILS, st.sampled_from([None, "c1"]))
PRODUCTS = st.tuples(st.sampled_from(["fern", "moss"]), st.sampled_from([None, "plants", "pots"]), MONEY)
SEEN = st.one_of(
    st.builds(lambda device: {"device_id": device}, DEVICES),
    st.builds(lambda reference, device: {"customer_ref": reference, "device_id": device}, REFERENCES, DEVICES),
)
EVENTS = st.tuples(st.sampled_from(["e1", "e2", "e3"]), st.integers(0, 3), SEEN)
FILES = st.one_of(
    *[st.tuples(st.just("order_lines"), st.sampled_from("abc"), st.lists(LINES, max_size=5))] * 3,
    st.tuples(st.just("customers"), st.sampled_from("xy"), st.lists(PROFILES, max_size=2)),
    st.tuples(st.just("products"), st.just("z"), st.lists(PRODUCTS, max_size=2)),
    st.tuples(st.just("interactions"), st.sampled_from("v"), st.lists(EVENTS, max_size=3)),
)
CUTS = [
    [],
    [("ref:1", "email:ada@example.com"), ("email:bob@example.com", "phone:+49301234567")],
    [("ref:2", "device:phone")],
]
RUNS = st.tuples(
    st.lists(FILES, max_size=3),
    st.integers(1, 2),  # days since the run before
    st.none() | st.integers(0, 24),  # killed after so many builds, and then run again
    st.lists(FILES, max_size=1),  # what lands while it runs
    st.sampled_from(CUTS),  # links that do not count
)


def line(order, age, **other):
    told = {"who": {"email": "ada@example.com"}, "quantity": Decimal("1"), "status": "completed"} | other
    return (order, "1", age, told["who"], "fern", told["quantity"], Decimal("9.99"), None, told["status"], None)


EVERYDAY = [
    ([("order_lines", "a", [line("o1", 0), line("o2", -1)]), ("order_lines", "c", [line("o4", 0)])], 1, None, [], []),
    ([("customers", "x", [("1", "ada@example.com", None)])], 1, 12, [("order_lines", "b", [line("o3", 3)])], []),
    ([("products", "z", [("fern", "plants", Decimal("4"))])], 1, None, [], CUTS[1]),
    ([("order_lines", "c", [line("o4", 4, status="returned")])], 1, 2, [], []),
]
STRANGER, TABLET = {"device_id": "tablet"}, {"customer_ref": "2", "device_id": "tablet"}
BY_MAIL = {"customer_ref": "3", "email": "ada@example.com"}
PEOPLE = [  # two who are one by their card, a device that was a stranger's, links that are cut, an address of too many
    ([("order_lines", "a", [line("o1", 0)]), ("interactions", "v", [("e1", 0, STRANGER)])], 1, None, [], []),
    ([("customers", "x", [("1", "ada@example.com", "c1"), ("2", None, "c1")])], 1, 20, [], []),
    ([("interactions", "v", [("e1", 0, STRANGER), ("e2", 0, TABLET)])], 1, 2, [], CUTS[1]),
    ([("order_lines", "b", [line("o2", 0, who=BY_MAIL)])], 1, None, [], CUTS[2]),
]


@pytest.mark.slow
@example(runs=EVERYDAY)  # a known person, a late order, a new product, and a file that comes again
@example(runs=PEOPLE)
@given(runs=st.lists(RUNS, min_size=2, max_size=3))
@hypothesis_settings(max_examples=4, deadline=None)
def test_day_by_day_equals_all_at_once(bench, runs):
    daily, whole, day = Shop(bench), Shop(bench), FIRST
    for files, days, killed_after, meanwhile, cuts in runs:
        day += timedelta(days)
        daily.cut(cuts)
        for file in files:
            daily.land(file, day)
        if killed_after is not None:
            daily.run(day, killed_after)
        daily.run(day, meanwhile=meanwhile)
    day += timedelta(1)
    daily.run(day)  # what landed meanwhile, and what was dated tomorrow
    daily.copy_raw_to(whole)
    whole.cut(runs[-1][-1])
    whole.run(day)
    found, expected = daily.content(), whole.content()
    for table in expected:
        assert found[table] == expected[table], table
    for row in found["marts.data_health"]:
        places = ("current", "superseded", "duplicate", "quarantined", "held", "refused")
        assert row["landed"] == sum(row[place] for place in places), row


EXPORTS = st.fixed_dictionaries(
    {
        "order_lines": st.lists(LINES, max_size=8),
        "customers": st.lists(PROFILES, max_size=4),
        "products": st.lists(PRODUCTS, max_size=3),
        "interactions": st.lists(EVENTS, max_size=4),
    }
)
BY_FILE = {"core.file_fates", "core.file_waits", "marts.data_health"}


@pytest.mark.slow
@given(exports=EXPORTS, cut_at=st.lists(st.integers(1, 7), max_size=3), data=st.data())
@hypothesis_settings(max_examples=4, deadline=None)
def test_in_whatever_parts_and_order_files_come_the_tables_are_the_same(bench, exports, cut_at, data):
    parts, whole, last = Shop(bench), Shop(bench), FIRST + timedelta(5)
    pieces = []
    for contract, rows in exports.items():
        whole.land((contract, "all", rows), last)
        ends = [0, *sorted({at for at in cut_at if at < len(rows)}), len(rows)]
        pieces += [(contract, f"part {start}", rows[start:end]) for start, end in pairwise(ends)]
    for number, piece in enumerate(data.draw(st.permutations(pieces))):
        parts.land(piece, last)
        if number < 3:  # a run after some of them, while others are still to come
            parts.run(FIRST + timedelta(number + 2))
    for shop in (parts, whole):
        shop.run(last)
    found, expected = parts.content(), whole.content()
    for table in sorted(expected):
        if not table.startswith("staging.") and table not in BY_FILE:
            assert found[table] == expected[table], table


def test_profiles_that_come_again_unchanged_touch_nobody(bench):
    """Many systems export all their customers every day; what is known of each must not be worked out anew."""
    shop, profiles = Shop(bench), ("customers", "x", [("1", "ada@example.com", None), ("2", None, None)])
    shop.land(profiles, FIRST)
    shop.land(("order_lines", "a", [line("o1", 0)]), FIRST)
    shop.run(FIRST)
    shop.land(profiles, FIRST)
    shop.run(FIRST + timedelta(1), killed_after=len(shop.models) - 1)
    assert shop.warehouse.query("select key from touched.profiles order by key")["key"].to_pylist() == ["1", "2"]
    assert shop.warehouse.query("select key from touched.customers")["key"].to_pylist() == []
