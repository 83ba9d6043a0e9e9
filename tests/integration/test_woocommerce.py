"""A WooCommerce shop is pulled page by page over HTTP: nothing is missed, nothing comes twice, no key is shown."""

import gzip
import json
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import urllib3.util.retry
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from intake import Shop
from shop_server import KEY, SECRET, running_shop
from urllib3.util import Retry

from perennial.contracts import load_contract
from perennial.contracts.staging import staging_sql
from perennial.flows import retention
from perennial.foundation.errors import BadConfig, BadData, Retryable
from perennial.foundation.settings import load_settings
from perennial.sources import landed, load_source, take, woocommerce

SOURCE = """
source: shop
contract: order_lines
woocommerce: {connection: web, resource: orders}
format: json
each: line_items
timezone: UTC
columns:
  order_id: id
  line_no: {sql: "coalesce(line_items->>'$.id', '0')"}
  ordered_at: date_created_gmt
  sku: {sql: "line_items->>'$.sku'"}
  quantity: {sql: "coalesce(line_items->>'$.quantity', '1')"}
  unit_price: {sql: "coalesce(line_items->>'$.price', '0')"}
  status: status
"""
PROFILES = """
source: shop
contract: customers
woocommerce: {connection: web, resource: customers, parameters: {role: all}}
format: json
columns: {customer_ref: id, email: email}
"""
BERLIN = ZoneInfo("Europe/Berlin")
NINE = datetime.fromisoformat("2026-01-05T09:00:00")  # all of the shop's times are without an offset


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(woocommerce, "_TIMEOUT", (2, 0.15))
    monkeypatch.setattr(
        woocommerce, "_RETRY", Retry(3, backoff_factor=0.001, retry_after_max=2, status_forcelist=(429, 500, 503))
    )
    with running_shop() as server:
        server.rows["orders"] = []
        yield server


@pytest.fixture
def shop(server, tmp_path):
    shop = Shop(tmp_path)
    shop.source(SOURCE)
    connect(shop, server.url())
    return shop


def connect(shop, url):
    found = load_settings(connections={"web": url}).connections
    shop.settings = shop.settings.model_copy(update={"connections": found})


def order(number, modified=NINE, lines=1, status="completed"):
    return {
        "id": number,
        "status": status,
        "date_created_gmt": "2026-01-05T08:00:00",
        "date_modified_gmt": modified.isoformat(),
        "date_modified": modified.replace(tzinfo=UTC).astimezone(BERLIN).replace(tzinfo=None).isoformat(),
        "line_items": [{"id": number * 10 + i, "sku": f"s{i}", "quantity": 1, "price": 2} for i in range(lines)],
    }


def orders(count, every=timedelta(minutes=1), **about):
    return [order(number, NINE + number * every, **about) for number in range(1, count + 1)]


def change(server, number, at, **fields):
    [row] = [row for row in server.rows["orders"] if row["id"] == number]
    row.update(fields, date_modified_gmt=at.isoformat())


def pull(shop):
    return take(load_source("shop", shop.settings), shop.settings)


def pages(shop):
    """The numbers of the rows of each page that has landed, in the order of their names."""
    return [[row["id"] for row in page] for page in bodies(shop)]


def bodies(shop):
    entries = sorted(landed("shop", shop.settings), key=lambda entry: (entry.file, entry.version))
    assert [entry.file for entry in entries] == [entry.file for entry in landed("shop", shop.settings)], "names grow"
    contents = [(shop.settings.landing_dir / entry.path).read_bytes() for entry in entries]
    return [json.loads(gzip.decompress(content)) for content in contents]


def staged(shop):
    """(order, line) -> status, as it counts now: each line once."""
    sql = staging_sql(load_contract("order_lines", shop.settings)).replace("$day", "date '2026-01-31'")
    rows = shop.rows(f"select order_id, line_no, status from ({sql}) as staged where fate = 'current'")
    assert len({row[:2] for row in rows}) == len(rows)
    return {(int(number), int(line)): status for number, line, status in rows}


def of_shop(server):
    return {(row["id"], line["id"]): row["status"] for row in server.rows["orders"] for line in row["line_items"]}


def known(shop):
    """Order -> its status, by the landed pages: the last one that has it tells."""
    return {row["id"]: row["status"] for page in bodies(shop) for row in page}


def states(server):
    return {row["id"]: row["status"] for row in server.rows["orders"]}


def test_pages_land_as_they_came_and_only_what_is_new_comes_again(shop, server):
    server.rows["orders"] = orders(250, lines=2)
    shop.ingest()
    assert staged(shop) == of_shop(server)
    assert [len(page) for page in pages(shop)] == [100, 100, 52], "a page begins with the last second of the one before"
    first = (shop.settings.landing_dir / landed("shop", shop.settings)[0].path).read_bytes()
    assert gzip.decompress(first) == json.dumps(server.rows["orders"][:100]).encode()
    assert (server.asked[0].get("modified_after"), server.asked[0]["per_page"]) == (None, "100")
    assert "modified_after" in server.asked[1]

    server.asked.clear()
    assert pull(shop) == []
    [asked] = server.asked
    assert asked["modified_after"] == (NINE + timedelta(minutes=250 - 60, seconds=-1)).isoformat()

    change(server, 3, NINE + timedelta(minutes=251), status="cancelled")
    server.rows["orders"].append(order(251, NINE + timedelta(minutes=252)))
    assert len(pull(shop)) == 1
    shop.ingest()
    assert staged(shop) == of_shop(server)
    assert pull(shop) == []


def test_a_change_that_is_stored_late_is_taken_within_the_overlap_and_not_beyond(shop, server):
    server.rows["orders"] = [order(1)]
    pull(shop)
    server.rows["orders"] += [order(2, NINE - timedelta(minutes=59)), order(3, NINE - timedelta(minutes=61))]
    assert len(pull(shop)) == 1
    assert pages(shop) == [[1], [2, 1]]
    assert pull(shop) == []
    shop.source(SOURCE.replace("orders}", "orders, overlap: 1000d}"))  # how all is taken once more
    pull(shop)
    assert pages(shop)[-1] == [3, 2, 1]


def test_an_overlap_of_many_pages_brings_only_those_that_have_something_new(shop, server):
    server.rows["orders"] = orders(250, every=timedelta(seconds=10))
    pull(shop)
    assert pull(shop) == []
    server.rows["orders"].append(order(251, NINE + timedelta(seconds=1500)))
    assert len(pull(shop)) == 1
    assert pull(shop) == []
    assert known(shop) == states(server)


def test_more_orders_in_one_second_than_a_page_holds(shop, server):
    server.rows["orders"] = [*orders(30), *(order(number, NINE + timedelta(hours=1)) for number in range(31, 381))]
    server.rows["orders"] += [order(number, NINE + timedelta(hours=2)) for number in range(381, 391)]
    pull(shop)
    assert known(shop) == states(server)
    assert pull(shop) == []


def test_orders_that_change_while_they_are_paged_are_neither_missed_nor_old(shop, server):
    server.rows["orders"] = [*orders(150), *(order(number, NINE + timedelta(hours=5)) for number in range(151, 501))]

    def meanwhile(number):
        # Of the pages that have been read, of the second that is being read, and of what is to come.
        if number in (2, 4, 6):
            for which in (number, 150 + number, 300 + number):
                change(server, which, NINE + timedelta(hours=6, minutes=number), status="cancelled")

    server.before = meanwhile
    shop.ingest()
    assert len(server.asked) > 7
    assert staged(shop) == of_shop(server)
    assert Counter(staged(shop).values()) == {"completed": 491, "cancelled": 9}
    assert pull(shop) == []


@pytest.mark.parametrize("seconds", [7, 20, 47])
def test_a_shop_that_sorts_by_local_time_hides_nothing_when_the_clocks_are_put_back(shop, server, seconds):
    before = datetime.fromisoformat("2025-10-25T23:10:00")
    server.sorts_locally = True
    server.rows["orders"] = [order(number, before + timedelta(seconds=seconds * number)) for number in range(1, 501)]
    pull(shop)
    assert known(shop) == states(server)
    assert pull(shop) == []


def test_a_second_that_never_rests_is_left_for_later(shop, server):
    server.rows["orders"] = [order(number) for number in range(1, 301)]
    server.before = lambda number: change(server, number, NINE + timedelta(hours=1))
    with pytest.raises(Retryable, match="changes faster than it can be read"):
        pull(shop)
    server.before = lambda _: None
    pull(shop)
    assert known(shop) == states(server)


@pytest.mark.parametrize(
    "faults",
    [["break"], ["hang"], ["cut"], [500], [(503, {}, b"busy")], [429, "cut", 500], [(200, {}, b'[{"id": 1}, {"')]],
)
def test_what_fails_once_is_asked_again(shop, server, faults):
    server.rows["orders"] = orders(120)
    server.faults = [None, *faults]
    pull(shop)
    assert known(shop) == states(server)
    assert len(server.asked) == 2 + len(faults)


def test_a_shop_says_how_long_to_wait_and_not_for_how_many_hours(shop, server, monkeypatch):
    waited = []
    monkeypatch.setattr(urllib3.util.retry.time, "sleep", waited.append)
    server.rows["orders"] = [order(1)]
    server.faults = [
        (429, {"Retry-After": "1"}, b""),
        (503, {"Retry-After": "86400"}, b""),
        (429, {"Retry-After": "soon"}, b""),
    ]
    assert len(pull(shop)) == 1
    assert waited[:2] == [1, 2]
    assert all(seconds < 1 for seconds in waited[2:])


@pytest.mark.parametrize("fault", ["break", "hang", "cut", 500, 429])
def test_what_came_before_it_broke_off_is_kept_and_the_next_pull_goes_on_there(shop, server, fault):
    server.rows["orders"] = orders(450, lines=2)
    server.faults = [None, None, *[fault] * 4]
    with pytest.raises(Retryable, match=r"Source shop: .*/wp-json/wc/v3/orders gives no whole answer"):
        pull(shop)
    assert [len(page) for page in pages(shop)] == [100, 100]
    assert not list((shop.settings.landing_dir / "shop").glob(".taking*"))

    server.asked.clear()
    server.faults.clear()
    pull(shop)
    reached = NINE + timedelta(minutes=199)
    assert server.asked[0]["modified_after"] == (reached - timedelta(hours=1, seconds=1)).isoformat()
    assert known(shop) == states(server)
    assert pull(shop) == []


def test_an_order_of_the_far_future_hides_nothing(shop, server):
    server.rows["orders"] = [order(1), order(2, NINE.replace(year=2999))]
    pull(shop)
    assert pull(shop) == []
    server.rows["orders"].append(order(3, NINE.replace(month=2, day=1, hour=8)))  # the clock of the test stands at 8:30
    pull(shop)
    assert pages(shop) == [[1, 2], [3, 2]]
    assert pull(shop) == []


def test_pages_without_personal_data_are_no_hindrance(shop, server):
    server.rows["orders"] = orders(150)
    shop.ingest()
    server.rows["orders"].append(order(151, NINE + timedelta(days=1)))
    shop.ingest()
    found = shop.settings.connections
    shop.at("2029-02-01T09:30:00+01:00")
    shop.settings = shop.settings.model_copy(update={"connections": found})
    assert retention.pseudonymise(shop.settings) == {"files": 2}, "the next pull starts from the newest"
    assert pull(shop) == []
    shop.source(SOURCE.replace("orders}", "orders, overlap: 1000d}"))
    for _ in range(2):  # its rows are not known any more, its content is
        [entry] = pull(shop)
        assert entry.duplicate_of == landed("shop", shop.settings)[0].file
        assert entry.personal_rows == 0
    shop.source(SOURCE)
    assert pull(shop) == []


def test_an_order_without_lines_is_accounted_for(shop, server):
    server.rows["orders"] = [order(1, lines=0), order(2)]
    assert shop.ingest()["shop"]["accepted"] == 2
    assert staged(shop) == {(1, 0): "completed", (2, 20): "completed"}


def test_nothing_yet_is_no_page(shop, server):
    assert pull(shop) == []
    server.rows["customers"] = []
    shop.source(PROFILES)
    assert pull(shop) == []


def test_refunds_are_asked_for_by_the_day_they_were_made(shop, server):
    shop.source(SOURCE.replace("resource: orders", "resource: refunds").replace("status: status", "tax: tax"))
    server.rows["refunds"] = [
        {name: value for name, value in row.items() if name != "date_modified_gmt"}
        | {"date_created_gmt": row["date_modified_gmt"]}
        for row in orders(130)
    ]
    pull(shop)
    assert [len(page) for page in pages(shop)] == [100, 31]
    assert (server.asked[1]["orderby"], "modified_after" in server.asked[1]) == ("date", False)
    assert pull(shop) == []


def customers(*numbers):
    return [{"id": number, "email": f"c{number}@example.com"} for number in numbers]


def current_customers(shop):
    sql = staging_sql(load_contract("customers", shop.settings)).replace("$day", "date '2026-01-31'")
    return sorted(int(ref) for (ref,) in shop.rows(f"select customer_ref from ({sql}) as s where fate = 'current'"))


def test_what_cannot_be_asked_for_its_changes_is_pulled_whole_and_replaced(shop, server):
    shop.source(PROFILES)
    server.rows["customers"] = customers(*range(1, 251))
    shop.ingest()
    assert current_customers(shop) == list(range(1, 251))
    assert {asked["role"] for asked in server.asked} == {"all"}
    assert pull(shop) == []

    del server.rows["customers"][5:150]
    shop.ingest()
    assert current_customers(shop) == [1, 2, 3, 4, 5, *range(151, 251)]
    assert [(entry.file, entry.version) for entry in landed("shop", shop.settings)] == [
        ("woocommerce/shop.json.gz", 1),
        ("woocommerce/shop.json.gz", 2),
    ]
    server.rows["customers"] = []
    assert pull(shop) == [], "emptied by mistake, sooner"


def test_a_customer_who_goes_while_they_are_paged_takes_nobody_along(shop, server):
    shop.source(PROFILES)
    server.rows["customers"] = customers(*range(1, 251))
    server.before = lambda number: number == 2 and server.rows["customers"].pop(0)
    shop.ingest()
    assert current_customers(shop) == list(range(2, 251))
    server.before = lambda _: server.rows["customers"].pop(0)
    with pytest.raises(Retryable, match="changes faster"):
        pull(shop)
    assert not (shop.settings.landing_dir / "shop" / ".pulling").exists()


def test_a_small_collection_that_knows_no_pages_is_whole(shop, server):
    shop.source(PROFILES)
    server.rows["customers"] = customers(*range(1, 31))
    server.tells_total = False
    pull(shop)
    assert [len(page) for page in pages(shop)] == [30]
    server.rows["customers"] = customers(*range(1, 101))
    with pytest.raises(BadData, match="tells no total"):
        pull(shop)
    everything = json.dumps(customers(*range(1, 250))).encode()
    server.faults = [(200, {}, everything)]
    pull(shop)
    assert [len(page) for page in pages(shop)] == [30, 249]


HTML = (200, {"Content-Type": "text/html; charset=UTF-8"}, b"<html>Please log in, me@example.com")


@pytest.mark.parametrize(
    ("faults", "error", "words"),
    [
        ([401], BadConfig, "connection: 'web': the shop refuses the key (401, woocommerce_rest_error)"),
        ([(403, {}, f'{{"code": "{SECRET} is"}}'.encode())], BadConfig, "refuses the key (403)"),
        ([404], BadConfig, "field woocommerce.resource: 'orders' is not found"),
        ([400], BadConfig, "field woocommerce.resource: 'orders' cannot be asked for so (400, woocommerce_rest_error)"),
        ([(301, {"Location": "https://www.shop.example/wp-json?consumer_key=ck_1"}, b"")], BadConfig,
         "the shop has moved to https://www.shop.example/wp-json."),
        ([HTML], BadData, "field woocommerce.resource: 'orders': http"),
        ([(200, {}, b'{"id": 1}')], BadData, "gives no JSON array of objects (application/json)"),
        ([(200, {}, b"[1, 2]")], BadData, "gives no JSON array of objects"),
        ([(200, {}, b'[{"id": 1}]')], BadData, "a row has no id or date_modified_gmt"),
        ([(200, {"X-WP-Total": "7"}, b"[]")], BadConfig, "the shop shows none of 7 rows"),
    ],
)  # fmt: skip
def test_what_a_person_must_put_right_names_file_and_field(shop, server, faults, error, words):
    server.faults = faults
    with pytest.raises(error) as raised:
        pull(shop)
    assert words in str(raised.value)
    assert "shop.yaml" in str(raised.value)
    assert len(server.asked) == 1, "asking again would not help"
    assert not {"example.com", "consumer_key", SECRET} & set(str(raised.value).split()), raised.value
    assert landed("shop", shop.settings) == []


def test_a_shop_that_does_not_know_what_it_is_asked_is_found_out(shop, server):
    server.rows["orders"] = orders(150)
    server.knows_modified_after = False
    with pytest.raises(BadConfig, match="too old to be asked for orders by modified_after"):
        pull(shop)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "'web' is not known. Put its URL into PERENNIAL_CONNECTIONS"),
        ("http://{KEY}:{SECRET}@shop.example/", "shop.example is to be asked by http"),
        ("https://shop.example/", "has no URL such as https://"),
        ("https://{KEY}@shop.example/", "has no URL such as https://"),
        ("https://{KEY}:{SECRET}@shop.example:port/", "has no URL such as https://"),
        ("postgresql://{KEY}:{SECRET}@shop.example/", "has no URL such as https://"),
        ("{SECRET}", "has no URL such as https://"),
    ],
)
def test_a_connection_that_cannot_be_used_says_why_without_its_key(shop, url, words):
    connect(shop, url.replace("{KEY}", KEY).replace("{SECRET}", SECRET)) if url else shop.at(
        "2026-02-01T09:30:00+01:00"
    )
    with pytest.raises(BadConfig) as raised:
        pull(shop)
    assert "shop.yaml: field woocommerce.connection: 'web'" in str(raised.value)
    assert words in str(raised.value)
    assert KEY not in str(raised.value)
    assert SECRET not in str(raised.value)


def test_the_key_is_in_no_log_line_no_error_and_no_address(shop, server, caplog):
    caplog.set_level(logging.DEBUG)
    server.rows["orders"] = orders(3)
    server.faults = ["break", "cut", (429, {"Retry-After": "0"}, b"")]
    pull(shop)
    server.faults = [500] * 4
    with pytest.raises(Retryable) as refused:
        pull(shop)
    connect(shop, server.url(secret="cs_other"))
    with pytest.raises(BadConfig) as wrong:
        pull(shop)
    said = caplog.text + str(refused.getrepr()) + str(wrong.value) + json.dumps(server.asked)
    assert "wp-json" in said
    assert KEY not in said
    assert SECRET not in said
    assert "cs_other" not in said


def test_a_shop_in_a_folder_and_a_key_with_odd_signs(shop, server):
    server.rows["orders"] = [order(1)]
    connect(shop, server.url(secret="a%40b%2F", path="/store/"))
    with pytest.raises(BadConfig, match=r"refuses the key \(401"):
        pull(shop)


@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seconds=st.lists(st.integers(0, 6), min_size=1, max_size=25),
    steps=st.lists(st.tuples(st.integers(0, 24), st.sampled_from([None, "cut", 500])), min_size=1, max_size=30),
)
def test_whatever_changes_and_fails_in_the_end_the_landing_has_the_shop(
    server, tmp_path_factory, seconds, steps, monkeypatch
):
    monkeypatch.setattr(woocommerce, "_ROWS", 3)
    monkeypatch.setattr(woocommerce, "_RETRY", Retry(1, status_forcelist=(500,)))
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.source(SOURCE.replace("orders}", "orders, overlap: 0s}"))
    connect(shop, server.url())
    server.rows["orders"] = [order(number, NINE + timedelta(seconds=at)) for number, at in enumerate(seconds)]
    waiting = list(steps)
    server.faults = [fault for _, fault in steps]
    clock = [10]

    def meanwhile(_):
        if waiting:
            which, _fault = waiting.pop(0)
            clock[0] += which % 2
            change(server, which % len(seconds), NINE + timedelta(seconds=clock[0]), status="cancelled")

    server.before = meanwhile
    for _ in range(40):
        try:
            taken = pull(shop)
        except Retryable:
            continue
        if not taken and not waiting:
            break
    assert known(shop) == states(server)
