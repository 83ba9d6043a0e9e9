"""Files whose rows belong together are joined by a query that sees their tables and nothing else."""

import gzip
import json
import os

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from intake import SHOP, Shop

from perennial.contracts import load_contract
from perennial.contracts.staging import staging_sql
from perennial.foundation.errors import BadConfig, BadData, Retryable
from perennial.sources import database as adapter
from perennial.sources import landed, load_source, take

PLACE = "path: shop/*\nformat: csv\n"
FILES = {"orders": "shop/orders*", "items": "shop/items*"}
QUERY = "select * from items left join orders using (order_no)"
ORDERS = "order_no,date,status\no1,2026-01-05 10:00,completed\no2,2026-01-06 10:00,completed\n"
ITEMS = "order_no,line,sku,name,qty,price\no2,1,s1,Tee,1,9.90\no1,2,s2,Cap,2,5.00\no1,1,s1,Tee,1,9.90\n"


@pytest.fixture
def shop(tmp_path):
    return shop_in(tmp_path)


def shop_in(home, query=QUERY, **place):
    shop = Shop(home)
    join(shop, query, **place)
    shop.put("shop/orders.csv", ORDERS)
    shop.put("shop/items.csv", ITEMS)
    return shop


def join(shop, query=QUERY, **place):
    block = json.dumps({"files": FILES, "query": query, "key": ["order_no", "line"]} | place)
    shop.source(SHOP, place=(PLACE, f"format: jsonl\ndatabase: {block}\n"))


def pull(shop):
    return take(load_source("shop", shop.settings), shop.settings)


def rows(shop):
    """What landed last."""
    content = gzip.decompress((shop.settings.landing_dir / landed("shop", shop.settings)[-1].path).read_bytes())
    return [json.loads(line) for line in content.decode().split("\n")[:-1]]


def current(shop):
    """(Order, line) -> day and name of the product, as they count now."""
    sql = staging_sql(load_contract("order_lines", shop.settings)).replace("$day", "date '2026-01-31'")
    columns = "order_id, line_no, ordered_at::date::text, product_name"
    found = shop.rows(f"select {columns} from ({sql}) as staged where fate = 'current'")
    return {(order, line): (day, name) for order, line, day, name in found}


def test_rows_are_joined_and_those_that_are_gone_go(shop):
    assert shop.ingest()["shop"]["accepted"] == 3
    assert [entry.file for entry in landed("shop", shop.settings)] == ["database/shop.jsonl.gz"]
    assert [(row["order_no"], row["line"]) for row in rows(shop)] == [("o1", "1"), ("o1", "2"), ("o2", "1")]
    first = {("o1", "1"): ("2026-01-05", "Tee"), ("o1", "2"): ("2026-01-05", "Cap"), ("o2", "1"): ("2026-01-06", "Tee")}
    assert current(shop) == first

    shop.put("shop/orders.csv", ORDERS.replace("01-05", "01-04"))
    shop.put("shop/items.csv", ITEMS.replace("o2,1,s1,Tee,1,9.90\n", ""))
    shop.ingest()
    assert current(shop) == {("o1", "1"): ("2026-01-04", "Tee"), ("o1", "2"): ("2026-01-04", "Cap")}


def test_files_that_have_not_changed_are_not_joined_again(shop, monkeypatch):
    pull(shop)
    with monkeypatch.context() as patch:
        patch.setattr(adapter, "connect_to_files", None)
        assert pull(shop) == []
    os.utime(shop.settings.inbox_dir / "shop/items.csv", (1, 1))
    assert pull(shop) == []
    join(shop, QUERY + " where line = '1'")  # another question is another answer
    assert [entry.version for entry in pull(shop)] == [2]
    assert len(rows(shop)) == 2


ODD = 'São "João",\r\nlinha dois\n\u2028 \U0001f331'


def test_text_is_kept_exactly_in_any_packing_and_encoding(shop):
    quoted = '"' + ODD.replace('"', '""') + '"'
    content = ITEMS.replace("Cap", quoted)
    shop.put("shop/items.csv", "\ufeff" + content)
    shop.put("shop/orders.csv", ORDERS.replace("o2", "öl").encode("cp1252"))
    pull(shop)
    assert [row["name"] for row in rows(shop)] == ["Tee", ODD, "Tee"]
    assert {row["order_no"]: row["date"] for row in rows(shop)} == {"o1": "2026-01-05 10:00", "o2": None}
    (shop.settings.inbox_dir / "shop/items.csv").unlink()
    shop.put("shop/items.csv.gz", gzip.compress(content.encode()))
    assert pull(shop) == [], "packed or not, it says the same"


def test_several_files_are_one_table_in_their_order(shop):
    shop.put("shop/items_2.csv", "line,order_no,gift\n\n9,o1,yes\n10,o2,no\n")
    join(shop, "select order_no, line, gift, name, items.rowid as place from items join orders using (order_no)")
    pull(shop)
    assert [tuple(row.values()) for row in rows(shop)] == [
        ("o1", "1", None, "Tee", 2),
        ("o1", "2", None, "Cap", 1),
        ("o1", "9", "yes", None, 3),
        ("o2", "1", None, "Tee", 0),
        ("o2", "10", "no", None, 4),
    ]


def test_a_query_may_ask_for_the_line_before_and_for_times_of_the_shop(shop):
    join(
        shop,
        "select order_no, line, first_value(line) over (partition by order_no order by items.rowid) as first,"
        " 'a:b%c' as odd, date::timestamp::timestamptz as at from items join orders using (order_no);",
    )
    pull(shop)
    assert [(row["line"], row["first"], row["odd"]) for row in rows(shop)] == [
        ("1", "2", "a:b%c"),
        ("2", "2", "a:b%c"),
        ("1", "1", "a:b%c"),
    ]
    assert {row["at"] for row in rows(shop)} == {"2026-01-05T15:00:00+00:00", "2026-01-06T15:00:00+00:00"}


def test_with_a_cursor_what_is_new_is_taken(shop):
    join(shop, cursor="date", overlap="0h", key=["order_no", "line"])
    pull(shop)
    shop.put("shop/orders.csv", ORDERS + "o3,2026-01-07 10:00,completed\n")
    shop.put("shop/items.csv", ITEMS + "o3,1,s1,Tee,1,9.90\n")
    pull(shop)
    assert [row["order_no"] for row in rows(shop)] == ["o2", "o3"]
    assert pull(shop) == []
    shop.ingest()
    assert len(current(shop)) == 4


@given(st.permutations(range(6)), st.permutations(range(4)))
@hypothesis_settings(max_examples=5, deadline=None)
def test_the_same_rows_in_any_order_make_the_same_bytes(tmp_path_factory, items, orders):
    taken = []
    for lines, heads in ((items, orders), (sorted(items), sorted(orders))):
        shop = shop_in(tmp_path_factory.mktemp("shop"))
        shop.put("shop/items.csv", "order_no,line,qty\n" + "".join(f"o{n % 3},{n},1\n" for n in lines))
        shop.put("shop/orders.csv", "order_no,date\n" + "".join(f"o{n},2026-01-05 10:00\n" for n in heads))
        taken += pull(shop)
    assert len({entry.sha256 for entry in taken}) == 1


def test_without_any_file_nothing_comes_and_half_of_them_are_waited_for(shop):
    folder = shop.settings.inbox_dir / "shop"
    (folder / "items.csv").rename(folder / ".items.csv")
    with pytest.raises(Retryable, match=r"no file for items \(shop/items\*\), which the query in .*shop.yaml joins"):
        pull(shop)
    (folder / "orders.csv").unlink()
    assert pull(shop) == []
    shop.put("shop/orders.csv", ORDERS)
    (folder / ".items.csv").rename(folder / "items.csv")
    assert len(pull(shop)) == 1


def test_files_that_change_while_they_are_joined_are_left_to_the_next_time(shop, monkeypatch, caplog):
    plain = adapter._plain

    def meanwhile(value):
        shop.put("shop/orders.csv", ORDERS + "o3,2026-01-07 10:00,completed\n")
        return plain(value)

    monkeypatch.setattr(adapter, "_plain", meanwhile)
    assert pull(shop) == []
    assert "still being written" in caplog.text
    monkeypatch.undo()
    assert len(pull(shop)) == 1
    left = [path.name for path in (shop.settings.landing_dir / "shop").glob(".[!l]*")]
    assert left == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (ITEMS.replace("Cap", 'anna@example.com,"'), r"csv: row 2 cannot be read as CSV .* \(1 such in all\)"),
        (ITEMS + "o9,anna@example.com\n", r"csv: row 4 cannot be read as CSV .* \(1 such in all\)"),
        (gzip.compress(ITEMS.encode() * 50)[:-20], r"csv.gz: the .gz archive is truncated or damaged"),
        (ITEMS.replace("Cap", "Caf\xe9 anna").encode("cp1252"), r"csv: not readable as text .*line 3 is 0xe9"),
        ("", "csv: is empty, without even a header"),
        ("\n\n", "csv: has no header"),
    ],
)
def test_a_file_that_cannot_be_read_whole_is_named_and_nothing_is_taken(shop, content, words):
    text = (shop.include / "sources/shop.yaml").read_text()
    (shop.include / "sources/shop.yaml").write_text(text.replace("[utf-8, cp1252]", "[utf-8]"))
    (shop.settings.inbox_dir / "shop/items.csv").unlink()
    shop.put("shop/items.csv.gz" if "gz" in words else "shop/items.csv", content)
    with pytest.raises(BadData, match=f"Source shop, file shop/items.{words}") as refused:
        pull(shop)
    assert "anna" not in str(refused.value)
    assert landed("shop", shop.settings) == []


@pytest.mark.parametrize("expression", ["cast(name as integer)", "strptime(name, '%Y')", "error(name)"])
def test_a_value_that_the_query_cannot_use_is_not_repeated(shop, expression):
    join(shop, f"select *, {expression} as number from items")
    with pytest.raises(BadData, match=r"Source shop: its rows cannot all be read .* none was taken") as refused:
        pull(shop)
    assert "Tee" not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    "reach",
    [
        "read_csv('/etc/passwd')",
        "'/etc/passwd'",
        "read_text('/etc/passwd')",
        "read_blob('../../../../../../etc/passwd')",
        "read_csv('{inbox}/shop/items.csv')",
        "read_csv('{inbox}/shop/../other.csv')",
        "read_csv('shop/items.csv')",
        "glob('/etc/*')",
        "glob('{inbox}/*')",
        "read_csv('http://127.0.0.1:9/items.csv')",
        "read_csv('https://example.com/items.csv')",
        "read_csv('s3://bucket/items.csv')",
        "sqlite_scan('{inbox}/x.db', 'orders')",
        "query('copy (select 1) to ''{inbox}/out.csv''')",
        "query_table('/etc/passwd')",
    ],
)
def test_a_query_reaches_its_tables_and_nothing_else(shop, reach):
    shop.put("other.csv", ITEMS)
    join(shop, f"select 1 as order_no, 1 as line, * from {reach.format(inbox=shop.settings.inbox_dir)}")
    with pytest.raises(BadConfig, match=r"shop.yaml: field database.query cannot be read: "):
        pull(shop)
    assert landed("shop", shop.settings) == []
    assert sorted(path.name for path in shop.settings.inbox_dir.rglob("*.csv")) == [
        "items.csv",
        "orders.csv",
        "other.csv",
    ]


@pytest.mark.parametrize(
    "query",
    [
        "copy items to '/tmp/never.csv'",
        "attach '/tmp/never.db'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "pragma version",
        "create table x as select 1",
        "select 1; select 2",
        "select 1) as x; copy (select 1) to '/tmp/never.csv'; select * from (select 2",
        "with x as (copy (select 1) to '/tmp/never.csv') select 1",
        "selec 1",
        "-- nothing",
    ],
)
def test_what_is_no_select_is_refused_before_anything_is_read(shop, query):
    join(shop, query)
    with pytest.raises(BadConfig, match=r"shop.yaml: field database.query: cannot be used: |cannot be read: "):
        pull(shop)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"query": "select * from nothing"}, "field database.query cannot be read: .*Table with name nothing"),
        ({"query": "select colour from items"}, "field database.query cannot be read: .*colour"),
        ({"key": "nope"}, "field database.key: there is no column 'nope'. There are: order_no, line, sku"),
        ({"cursor": "nope"}, "field database.cursor: there is no column 'nope'"),
        ({"files": FILES | {"unframed": "other*"}}, "field database.files.unframed: is taken"),
    ],
)
def test_a_query_that_does_not_suit_the_files_is_told(shop, place, words):
    shop.put("other.csv", ORDERS)
    join(shop, **place)
    with pytest.raises(BadConfig, match=f"shop.yaml: {words}"):
        pull(shop)
