"""The shipped WooCommerce sources on the payloads of its documentation: every line counts once, to the cent."""

import json
from collections import defaultdict
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal

import duckdb
import pytest
from shop_server import running_shop

from homes import run_newest_day
from perennial.flows import ingest
from perennial.foundation.days import Origin, Run
from perennial.foundation.settings import REPOSITORY, load_settings
from perennial.sources import load_sources

EXAMPLE = REPOSITORY / "examples" / "woocommerce"
DATA = REPOSITORY.parent / "shared/data/woocommerce"
SEEN = ("pending", "on-hold", "processing", "completed", "cancelled", "refunded", "failed", "trash")
SOLD = ("processing", "completed", "refunded")
FIRST = datetime.fromisoformat("2017-03-22T00:00:00")


def test_the_sources_are_sources():
    assert sorted(load_sources(load_settings(include=EXAMPLE))) == ["customers", "orders", "products", "refunds"]


def payload(name):
    return json.loads((DATA / f"_{name}.json").read_text())


def many_orders():
    """Those of the documentation, and 360 more of other numbers, states, times and amounts, one without lines."""
    models = [*payload("orders_02"), payload("orders_00"), payload("orders_03")]
    orders = []
    for number in range(1000, 1360):
        order = deepcopy(models[number % len(models)])
        at = FIRST + timedelta(minutes=number // 3)
        order |= {"id": number, "status": SEEN[number // 4 % len(SEEN)], "date_modified_gmt": at.isoformat()}
        for line in order["line_items"]:
            line |= {"id": number * 10 + line["id"] % 10, "quantity": number % 7 + 1}
            line["subtotal"] = str(Decimal(line["subtotal"]) + Decimal(number % 100) / 100)
            line["total"] = str(round(Decimal(line["subtotal"]) * Decimal(4 - number % 3) / 4, 2))
        if number % 3:
            order["coupon_lines"] = [
                {"id": 1, "code": "10off", "discount": "1.00", "discount_tax": "0.00", "meta_data": []}
            ]
        orders.append(order)
    orders[7] |= {"line_items": [], "status": "completed"}
    return [*payload("orders_02"), *orders]


def refunds():
    """Those of order 723, as the collection of all refunds has them."""
    return [refund | {"parent_id": 723} for refund in payload("order-refunds_02")]


PRODUCT = {
    "id": 87, "name": "Woo Album #2 &amp; more", "status": "publish", "sku": "", "price": "9", "images": [],
    "permalink": "https://example.com/p/87", "date_modified_gmt": "2017-03-20T10:00:00",
    "categories": [{"id": 11, "name": "Music", "slug": "music"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    if not DATA.exists():
        pytest.skip(f"no payloads at {DATA}")
    with running_shop() as server:
        server.rows |= {"orders": many_orders(), "refunds": refunds(), "customers": payload("customers_02")}
        server.rows["products"] = [PRODUCT]
        yield server


@pytest.fixture(scope="module")
def look(server, tmp_path_factory):
    """The shop pulled, and run on the day after: what a query finds in the warehouse."""
    settings = load_settings(
        home=tmp_path_factory.mktemp("shop"),
        include=EXAMPLE,
        timezone="America/Los_Angeles",
        currency="USD",
        connections={"shop": server.url()},
        now="2017-03-24T12:00:00-07:00",
    )
    run_newest_day(settings)
    server.asked.clear()
    taken = {
        name: ingest.land(name, Run(FIRST.date(), Origin.DEMO), settings)["files"] for name in load_sources(settings)
    }
    assert taken == dict.fromkeys(taken, 0), "nothing new is nothing landed"
    with duckdb.connect(str(settings.home / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield lambda sql: connection.execute(sql).fetchall()


def test_every_line_is_there_once_and_amounts_to_what_it_cost(look, server):
    expected = {
        (str(order["id"]), str(line["id"])): Decimal(line["total"])
        for order in server.rows["orders"]
        if order["status"] != "trash"
        for line in order["line_items"]
    }
    found = look(
        "select order_id, line_no, cast(quantity * unit_price as decimal(12, 2)) - discount from staging.order_lines "
        "where fate = 'current' and _source = 'orders' and line_no <> '0'"
    )
    assert len(found) == len(expected) > 600
    assert {(order, line): amount for order, line, amount in found} == expected
    assert look("select count(*) from quarantine.rows") == [(0,)]


def test_orders_amount_to_their_lines_and_only_those_that_were_sold(look, server):
    expected = defaultdict(Decimal)
    for order in server.rows["orders"]:
        if order["status"] in SOLD:
            expected[str(order["id"])] += sum(Decimal(line["total"]) for line in order["line_items"])
    found = dict(look("select order_id, gross_revenue - discounts from core.orders where is_completed"))
    assert found == {order: amount for order, amount in expected.items() if amount}
    assert look("select status, count(*) from core.orders where order_id = '1007' group by 1") == [("cancelled", 1)]
    assert look("select count(*) from core.orders where status = 'pending'") == [
        (sum(order["status"] in ("pending", "on-hold") for order in server.rows["orders"]),)
    ]


def test_what_was_given_back_is_taken_off_the_order_on_its_day(look):
    # 29.00 for goods; an album for 9.00 came back, and 10.00 were given back for nothing in particular
    assert look("select net_revenue, refunds, customer_id from core.orders where order_id = '723'") == [
        (Decimal("10.00"), Decimal("19.00"), "26")
    ]
    assert look(
        "select line_no, sku, quantity, unit_price from staging.order_lines where _source = 'refunds' order by 1"
    ) == [("refund 314", "87", -1, 9), ("refund 726", None, -1, 10)]


def test_a_line_says_what_it_is_and_who_bought_it(look):
    assert look(
        "select sku, product_name, tax, currency from staging.order_lines where order_id = '727' order by line_no"
    ) == [
        ("93", "Woo Single #1", Decimal("0.45"), "USD"),
        ("Bar3", "Ship Your Idea \u2013 Color: Black, Size: M Test", Decimal("0.90"), "USD"),
    ]
    assert look(
        "select distinct customer_ref, email, phone, ordered_at::timestamp::text from staging.order_lines "
        "where order_id = '727'"
    ) == [(None, "john.doe@example.com", "+15555555555", "2017-03-22 19:28:02")]
    # A number of another country without its code is nobody's.
    assert look(
        "select distinct customer_ref, phone from staging.order_lines where order_id = '723' and email is not null"
    ) == [("26", None)]
    assert look(
        "select coupon_code, count(*) > 100 from staging.order_lines where coupon_code is not null group by 1"
    ) == [("10off", True)]


def test_a_guest_is_known_by_the_address_of_an_account(look):
    """John ordered as a guest with the address of customer 25."""
    assert look("select customer_id from core.orders where order_id = '727'") == [("25",)]
    assert look(
        "select name, country, city, signup_at::timestamp::text from staging.customers where customer_ref = '26'"
    ) == [("João Silva", "BR", "Rio de Janeiro", "2017-03-21 19:11:14")]
    assert look("select sku, name, category, price, active from staging.products") == [
        ("87", "Woo Album #2 & more", "Music", 9, True)
    ]
