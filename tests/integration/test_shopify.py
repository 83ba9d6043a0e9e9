"""Shopify's tables, and the orders as its admin exports them: every row is accounted for, the money is the shop's."""

import csv
import gzip
import io
import json
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from homes import run_newest_day
from perennial.flows.validate import checks
from perennial.foundation.settings import REPOSITORY, load_settings
from perennial.sources import load_source, take

EXAMPLE = REPOSITORY / "examples" / "shopify"
DATA = REPOSITORY.parent / "shared/data/shopify"
HEALTH = (
    "select source, landed, current, superseded, duplicate, quarantined, held, refused from marts.data_health"
    " order by source"
)
LINES = (
    "select order_id, line_no, customer_ref, ordered_at, sku, quantity, unit_price, discount, status, channel,"
    " coupon_code from staging.order_lines where fate = 'current' order by order_id, line_no"
)


class Shop:
    """A home with one of the two examples; files are put into its inbox as lists of rows."""

    def __init__(self, home, example, now, **changes):
        include = home / "include"
        shutil.copytree(EXAMPLE / example, include)
        for before, after in changes.values():
            path = include / "sources/order_lines.yaml"
            assert before in path.read_text()
            path.write_text(path.read_text().replace(before, after))
        self.settings = load_settings(home=home, include=include, timezone="Europe/London", currency="GBP", now=now)
        self.settings.inbox_dir.mkdir()

    def put(self, name, rows, columns=None):
        """Write a CSV file of these columns, or of all that the rows have."""
        text = io.StringIO()
        names = columns or list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(text, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
        (self.settings.inbox_dir / f"{name}.csv").write_text(text.getvalue(), encoding="utf-8-sig", newline="")

    def run(self):
        """Run the newest day; what a query finds in the warehouse."""
        run_newest_day(self.settings)
        connection = duckdb.connect(str(self.settings.home / "warehouse.duckdb"), read_only=True)
        connection.execute("set timezone = 'UTC'")
        return lambda sql: connection.execute(sql).fetchall()


def table(name):
    with (DATA / f"shopify_{name}_data.csv").open(encoding="utf-8-sig", newline="") as file:
        return [{column: value.strip() for column, value in row.items()} for row in csv.DictReader(file)]


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("example", ["tables", "admin"])
def test_every_file_of_the_examples_is_right(tmp_path, example):
    for _, check in checks(Shop(tmp_path, example, "2025-05-06T12:00:00+01:00").settings):
        assert check()


@pytest.mark.skipif(not DATA.exists(), reason=f"no data set at {DATA}")
def test_every_row_of_the_table_seeds_is_accounted_for(tmp_path):
    """They are of unrelated orders: most orders lack their lines, and all refunds the lines that they are for."""
    shop = Shop(tmp_path, "tables", "2025-05-06T12:00:00+01:00", all=("format: jsonl", "format: jsonl\nmax_refused: 1"))
    for file in DATA.glob("*.csv"):
        shutil.copy(file, shop.settings.inbox_dir)
    look = shop.run()
    orders = {order["id"]: order for order in table("order")}
    lines, refunds, people, variants = (
        table(name) for name in ("order_line", "order_line_refund", "customer", "product_variant")
    )
    without_lines = set(orders) - {line["order_id"] for line in lines}
    assert (len(orders), len(lines), len(refunds), len(without_lines)) == (8, 3, 5, 5)
    assert look(HEALTH) == [
        ("consents", 4, 4, 0, 0, 0, 0, 0),
        ("customers", 4, 4, 0, 0, 0, 0, 0),
        ("order_lines", 13, 3, 0, 0, 10, 0, 0),
        ("products", 8, 8, 0, 0, 0, 0, 0),
    ]
    found = look("select content->>'order_id', content->>'line_no' from quarantine.rows")
    assert sorted(found, key=str) == sorted(
        [(order, None) for order in without_lines] + [(None, f"refund {refund['id']}") for refund in refunds], key=str
    )
    codes = {"2674098602081": "GIFTCARD", "2669516488801": "SHIPPING2022", "2669509541985": "GIFTCARD"}
    assert look(LINES) == sorted(
        (
            line["order_id"],
            line["id"],
            (order := orders[line["order_id"]])["customer_id"],
            moment(order["created_at"]),
            line["variant_id"],
            Decimal(line["quantity"]),
            Decimal(line["price"]),
            Decimal(order["total_discounts"]),  # these orders have one line each
            "completed",
            {"app": "app", "web": "web"}[order["source_name"]],
            codes[line["order_id"]],
        )
        for line in lines
    )
    net = look("select order_id, net_revenue, currency from core.orders order by 1")
    assert net == sorted((id_, Decimal(orders[id_]["subtotal_price"]), "GBP") for id_ in codes)

    found = look("select customer_ref, signup_at, updated_at, name, email from staging.customers order by 1")
    assert found == sorted(
        (
            person["id"],
            moment(person["created_at"]),
            moment(person["updated_at"]),
            f"{person['first_name']} {person['last_name']}",
            None,
        )
        for person in people
    )
    found = look("select customer_ref, state, recorded_at, topic from staging.consents order by 1")
    assert found == sorted(
        (person["id"], "granted", moment(person["created_at"]), "offers")
        if person["accepts_marketing"] == "TRUE"
        else (person["id"], "denied", moment(person["updated_at"]), "offers")
        for person in people
    )
    products = {product["id"]: product for product in table("product")}
    found = look("select sku, name, category, brand, price, is_active from core.products order by 1")
    assert found == sorted(
        (
            variant["id"],
            (product := products[variant["product_id"]])["title"],
            product["product_type"],
            product["vendor"],
            Decimal(variant["price"]),
            True,
        )
        for variant in variants
    )


ORDER = {
    "email": "anna@example.com",
    "taxes_included": "FALSE",
    "currency": "GBP",
    "created_at": "2025-05-01 08:00:00.000",
    "customer_id": "9",
    "financial_status": "paid",
    "cancelled_at": "",
    "total_discounts": "0",
    "source_name": "web",
    "test": "FALSE",
}
LINE = {"product_id": "77", "variant_id": "88", "name": "Tea", "price": "10.00", "quantity": "1", "index": "1"}
REFUND = {"restock_type": "return", "quantity": "1", "total_tax": "0"}


def test_tables_tell_discounts_taxes_refunds_and_what_does_not_count(tmp_path):
    shop = Shop(tmp_path, "tables", "2025-05-06T12:00:00+01:00")
    # 1: ten pounds off the whole order. 2: told by line, taxes in the price, one of two pieces given back. 3: a test.
    # 4: cancelled and paid back. 5: not paid yet. 6: in the store.
    shop.put(
        "shopify_order_data",
        [
            ORDER | {"id": "1", "total_discounts": "10.00"},
            ORDER
            | {
                "id": "2",
                "total_discounts": "6.00",
                "taxes_included": "TRUE",
                "financial_status": "partially_refunded",
            },
            ORDER | {"id": "3", "test": "TRUE"},
            ORDER | {"id": "4", "cancelled_at": "2025-05-02 08:00:00.000", "financial_status": "refunded"},
            ORDER | {"id": "5", "financial_status": "pending"},
            ORDER | {"id": "6", "source_name": "pos", "email": "", "customer_id": ""},
        ],
    )
    shop.put(
        "shopify_order_line_data",
        [LINE | {"order_id": "1", "id": "11"}, LINE | {"order_id": "1", "id": "12", "index": "2"}]
        + [LINE | {"order_id": "1", "id": "13", "index": "3"}]
        + [LINE | {"order_id": "2", "id": "21", "price": "12.00", "quantity": "2"}]
        + [LINE | {"order_id": "2", "id": "22", "index": "2", "price": "6.00"}]
        + [LINE | {"order_id": str(order), "id": f"{order}1"} for order in (3, 4, 5, 6)],
    )
    shop.put(
        "shopify_order_line_refund_data",
        [
            REFUND | {"id": "7", "refund_id": "70", "order_line_id": "21", "subtotal": "9.00", "total_tax": "1.50"},
            REFUND | {"id": "8", "refund_id": "80", "order_line_id": "41", "subtotal": "10.00"},
        ],
    )
    shop.put(
        "shopify_refund_data",
        [
            {"id": "70", "order_id": "2", "processed_at": "2025-05-04 10:00:00.000"},
            {"id": "80", "order_id": "4", "processed_at": "2025-05-02 10:00:00.000"},
        ],
    )
    shop.put(
        "shopify_discount_allocation_data",
        [{"order_line_id": "21", "amount": "4.00"}, {"order_line_id": "21", "amount": "2.00"}],
    )
    shop.put(
        "shopify_tax_line_data", [{"order_line_id": "21", "price": "3.00"}, {"order_line_id": "22", "price": "1.00"}]
    )
    shop.put(
        "shopify_order_discount_code_data",
        [{"order_id": "1", "index": "2", "code": "LATER"}, {"order_id": "1", "index": "1", "code": "TEN"}],
    )
    shop.put(
        "shopify_product_data",
        [{"id": "77", "title": "Tea", "product_type": "Drinks", "vendor": "Us", "_fivetran_deleted": "FALSE"}],
    )
    shop.put(
        "shopify_product_variant_data",
        [
            {"id": "88", "product_id": "77", "title": "Green", "price": "10.00"},
            {"id": "89", "product_id": "0", "title": "Black", "price": "1"},
        ],
    )
    person = {"id": "9", "first_name": "Anna", "last_name": "Li", "email": "anna@example.com", "phone": ""}
    at = {"created_at": "2025-01-01 08:00:00.000 ", "updated_at": "2025-05-01 08:00:00.000 "}
    shop.put("shopify_customer_data", [person | at | {"accepts_marketing": "TRUE"}])
    look = shop.run()
    assert look(HEALTH) == [
        ("consents", 1, 1, 0, 0, 0, 0, 0),
        ("customers", 1, 1, 0, 0, 0, 0, 0),
        ("order_lines", 11, 11, 0, 0, 0, 0, 0),
        ("products", 2, 2, 0, 0, 0, 0, 0),
    ]
    found = look(
        "select lines.order_id, landed.line_no, lines.day, lines.quantity::int, gross_revenue, discounts, refunds,"
        " lines.net_revenue, lines.tax, lines.status from core.order_lines as lines"
        " join staging.order_lines as landed on line_id = landed._key order by all"
    )
    first, fourth = date(2025, 5, 1), date(2025, 5, 4)
    assert found == [
        (order, line, day, quantity, *map(Decimal, amounts), status)
        for order, line, day, quantity, amounts, status in (
            ("1", "11", first, 1, ("10", "3.33", "0", "6.67", "0"), "completed"),
            ("1", "12", first, 1, ("10", "3.34", "0", "6.66", "0"), "completed"),
            ("1", "13", first, 1, ("10", "3.33", "0", "6.67", "0"), "completed"),
            ("2", "21", first, 2, ("21", "6", "0", "15", "3"), "completed"),
            ("2", "22", first, 1, ("5", "0", "0", "5", "1"), "completed"),
            ("2", "refund 7", fourth, -1, ("0", "0", "7.50", "-7.50", "-1.50"), "refunded"),
            ("3", "31", first, 1, ("0", "0", "0", "0", "0"), "cancelled"),
            ("4", "41", first, 1, ("0", "0", "0", "0", "0"), "cancelled"),
            ("4", "refund 8", date(2025, 5, 2), -1, ("0", "0", "0", "0", "0"), "cancelled"),
            ("5", "51", first, 1, ("0", "0", "0", "0", "0"), "pending"),
            ("6", "61", first, 1, ("10", "0", "0", "10", "0"), "completed"),
        )
    ]
    assert look("select distinct coupon_code from core.order_lines where order_id = '1'") == [("TEN",)]
    assert look("select customer_id, channel from core.orders where order_id in ('1', '6') order by order_id") == [
        ("9", "web"),
        (None, "store"),
    ]
    assert look("select sku, name, category, price from core.products order by sku") == [
        ("88", "Tea, Green", "Drinks", 10),
        ("89", "Black", None, 1),
    ]
    assert look("select state, recorded_at::date from core.consents") == [("granted", date(2025, 1, 1))]


EXPORT = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,Subtotal,"
    "Shipping,Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,Lineitem quantity,Lineitem name,"
    "Lineitem price,Lineitem compare at price,Lineitem sku,Lineitem requires shipping,Lineitem taxable,"
    "Lineitem fulfillment status,Billing Name,Billing Street,Billing Address1,Billing Address2,Billing Company,"
    "Billing City,Billing Zip,Billing Province,Billing Country,Billing Phone,Shipping Name,Shipping Street,"
    "Shipping Address1,Shipping Address2,Shipping Company,Shipping City,Shipping Zip,Shipping Province,"
    "Shipping Country,Shipping Phone,Notes,Note Attributes,Cancelled at,Payment Method,Payment Reference,"
    "Refunded Amount,Vendor,Outstanding Balance,Employee,Location,Device ID,Id,Tags,Risk Level,Source,"
    "Lineitem discount,Phone"
)


def exported(name, lines, **others):
    """The rows of an order: of `lines` (quantity, price) the first has what is about the whole order."""
    amount = sum(quantity * Decimal(price) for quantity, price in lines)
    head = {
        "Financial Status": "paid",
        "Currency": "GBP",
        "Subtotal": f"{amount:.2f}",
        "Shipping": "4.90",
        "Taxes": "1.00",
        "Refunded Amount": "0.00",
        "Created at": "2025-05-01 20:30:00 -0400",
        "Source": "web",
    }
    rows = [
        {
            "Name": name,
            "Lineitem quantity": quantity,
            "Lineitem name": f"Thing {n}",
            "Lineitem price": price,
            "Lineitem sku": f"s{n}",
        }
        for n, (quantity, price) in enumerate(lines, start=1)
    ]
    return [rows[0] | head | {key.replace("_", " "): value for key, value in others.items()}, *rows[1:]]


def test_the_export_of_the_admin_has_what_is_about_an_order_on_each_of_its_lines(tmp_path):
    shop = Shop(tmp_path, "admin", "2025-05-06T12:00:00+01:00")
    anna = {"Email": "anna@example.com", "Phone": "'+12025550123", "Notes": 'Ring twice,\r\nsays "Anna"'}
    ten_off = {"Subtotal": "35.29", "Discount_Code": "TEN", "Discount_Amount": "10.00"}
    cancelled = {"Financial_Status": "voided", "Cancelled_at": "2025-05-02 10:00:00 -0400"}
    partly_back = {"Financial_Status": "partially_refunded", "Refunded_Amount": "7.00"}
    shop.put(
        "orders_export_1",
        exported("#1001", [(2, "19.99"), (1, "5.01"), (3, "0.10")], **anna, **ten_off)
        + exported("#1002", [(1, "5.00")], Financial_Status="pending", Email="")
        + exported("#1003", [(1, "5.00"), (1, "6.00")], **cancelled)
        + exported("#1004", [(1, "20.00"), (1, "30.00")], **partly_back),
        EXPORT.split(","),
    )
    shop.put(
        "orders_export_2",
        exported(
            "#1005", [(1, "20.00")], Financial_Status="refunded", Refunded_Amount="25.90", Source="pos", Location="Soho"
        )
        + exported("#1006", [(1, "0.00")], Discount_Code="SHIPFREE", Discount_Amount="4.90")
        + exported("#1007", [(1, "9.00")], Financial_Status="expired"),
        EXPORT.split(","),
    )
    look = shop.run()
    assert look(HEALTH) == [("order_lines", 13, 12, 0, 0, 1, 0, 0)]
    assert look("select reasons, content->>'order_name' from quarantine.rows") == [('["status_known"]', "#1007")]
    found = look(
        "select lines.order_id, landed.line_no, landed.sku, lines.quantity::int, gross_revenue, discounts, refunds,"
        " lines.net_revenue, lines.tax, lines.shipping, lines.status from core.order_lines as lines"
        " join staging.order_lines as landed on line_id = landed._key order by all"
    )
    assert found == [
        (order, line, sku, quantity, *map(Decimal, amounts), status)
        for order, line, sku, quantity, amounts, status in (
            ("#1001", "1", "s1", 2, ("39.98", "8.83", "0", "31.15", "1", "4.90"), "completed"),
            ("#1001", "2", "s2", 1, ("5.01", "1.10", "0", "3.91", "0", "0"), "completed"),
            ("#1001", "3", "s3", 3, ("0.30", "0.07", "0", "0.23", "0", "0"), "completed"),
            ("#1002", "1", "s1", 1, ("0", "0", "0", "0", "1", "4.90"), "pending"),
            ("#1003", "1", "s1", 1, ("0", "0", "0", "0", "1", "4.90"), "cancelled"),
            ("#1003", "2", "s2", 1, ("0", "0", "0", "0", "0", "0"), "cancelled"),
            ("#1004", "0", None, -1, ("0", "0", "7", "-7", "0", "0"), "refunded"),
            ("#1004", "1", "s1", 1, ("20", "0", "0", "20", "1", "4.90"), "completed"),
            ("#1004", "2", "s2", 1, ("30", "0", "0", "30", "0", "0"), "completed"),
            ("#1005", "0", None, -1, ("0", "0", "20", "-20", "0", "0"), "refunded"),
            ("#1005", "1", "s1", 1, ("20", "0", "0", "20", "1", "4.90"), "completed"),
            ("#1006", "1", "s1", 1, ("0", "0", "0", "0", "1", "4.90"), "completed"),
        )
    ]
    # Half past eight in the evening in New York is the next day in London.
    assert look("select distinct ordered_at, ordered_date from staging.order_lines") == [
        (datetime(2025, 5, 2, 0, 30, tzinfo=UTC), date(2025, 5, 2))
    ]
    found = look("select distinct email, phone, coupon_code from staging.order_lines where order_id = '#1001'")
    assert found == [("anna@example.com", "+12025550123", "TEN")]
    assert look(
        "select order_id, channel, status, net_revenue from core.orders where order_id > '#1003' order by 1"
    ) == [
        ("#1004", "web", "completed", 43),
        ("#1005", "store", "refunded", 0),
        ("#1006", "web", "completed", 0),
    ]


PRICES = st.decimals(0, 500, places=2)


@given(st.lists(st.tuples(st.integers(1, 9), PRICES), min_size=1, max_size=6), st.integers(0, 100))
@hypothesis_settings(max_examples=15, deadline=None)
def test_the_lines_of_an_order_have_its_whole_discount_between_them(tmp_path_factory, lines, percent):
    shop = Shop(tmp_path_factory.mktemp("shop"), "admin", "2025-05-06T12:00:00+01:00")
    amounts = [quantity * price for quantity, price in lines]
    subtotal = (sum(amounts) * percent / 100).quantize(Decimal("0.01"))
    shop.put("orders_export", exported("#1", lines, Subtotal=str(subtotal)), EXPORT.split(","))
    [entry] = take(load_source("order_lines", shop.settings), shop.settings)
    content = gzip.decompress((shop.settings.landing_dir / entry.path).read_bytes()).decode()
    discounts = [Decimal(json.loads(line)["discount"] or 0) for line in content.split("\n")[:-1]]
    assert sum(discounts) == sum(amounts) - subtotal
    assert all(0 <= discount <= amount for discount, amount in zip(discounts, amounts, strict=True))
