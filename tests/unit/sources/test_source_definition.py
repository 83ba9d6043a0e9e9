"""Source files: names and expressions are checked against the contract before any file is read."""

from datetime import timedelta

import pytest

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings
from perennial.sources import load_source

GOOD = """
source: shop
contract: products
path: shop/*.csv
format: csv
columns:
  sku: article
  name: [title, name]
  price: {sql: "replace(cost, ',', '.')"}
"""


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "expectations").symlink_to(load_settings().include / "expectations")
    return load_settings(include=tmp_path, home=tmp_path)


def write(settings, text):
    (settings.include / "sources" / "shop.yaml").write_text(text)


def test_an_expression_says_which_source_columns_it_reads(settings):
    write(settings, GOOD)
    source = load_source("shop", settings)
    assert source.columns["price"].names == ("cost",)
    assert source.columns["name"].names == ("title", "name")
    assert source.timezone == "Europe/Berlin"


def test_parameters_of_a_lambda_are_no_source_columns(settings):
    write(settings, GOOD.replace("replace(cost, ',', '.')", "list_transform(split(a, ','), lambda x: x || b)[1]"))
    assert load_source("shop", settings).columns["price"].names == ("a", "b")


@pytest.mark.parametrize(
    "sql",
    [
        "replace(cost",
        "nope(cost)",
        "max(cost)",
        "row_number() over ()",
        "(select 1)",
        "1) from source; drop table source; select (1",
        "1) from source union all select (2",
        "read_text('/etc/passwd')",
    ],
)
def test_a_wrong_expression_names_file_field_and_value(settings, sql):
    write(settings, GOOD.replace("replace(cost, ',', '.')", sql))
    with pytest.raises(BadConfig) as error:
        load_source("shop", settings)
    assert "shop.yaml: field columns.price.sql" in str(error.value)
    assert sql in str(error.value)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("format: csv", "format: xls", ["field format", "'xls'"]),
        ("format: csv", "fromat: csv", ["unknown field fromat", "'csv'"]),
        ("  sku: article", "  sku: article\n  colour: c", ["columns.colour", "'colour'", "sku, name"]),
        ("  sku: article\n", "", ["field columns.sku", "requires it"]),
        ("path: shop", "path: ../shop", ["field path", "'../shop/*.csv'"]),
        ("format: csv", "format: csv\nencodings: [utf-9]", ["field encodings", "'utf-9'"]),
        ("format: csv", "format: csv\nencodings: [rot13]", ["field encodings", "'rot13'"]),
        ("format: csv", 'format: csv\nencodings: ["\\0"]', ["field encodings", r"'\x00'"]),
        ("format: csv", "format: csv\nencodings: []", ["field encodings"]),
        ("sku: article", "sku: []", ["field columns.sku"]),
        ("path: shop/", "path: shop/**", ["field path", "'shop/***.csv'"]),
        ("path: shop/", f"path: {'x' * 256}/", ["field path"]),
        ("format: csv", "format: csv\ntimezone: Mars/Base", ["field timezone", "'Mars/Base'"]),
        ("format: csv", "format: csv\nformats: {name: '%Y'}", ["field formats.name"]),
        ("format: csv", "format: csv\ncsv: {delimiter: tab}", ["field csv.delimiter", "'tab'"]),
        ("format: csv", "format: csv\nmax_refused: 20", ["field max_refused", "20"]),
        ("source: shop", "source: store", ["field source", "'store'"]),
        ("contract: products", "contract: product", ["field contract: no such contract 'product'"]),
    ],
)
def test_a_wrong_source_names_file_field_and_value(settings, before, after, named):
    assert before in GOOD
    write(settings, GOOD.replace(before, after))
    with pytest.raises(BadConfig) as error:
        load_source("shop", settings)
    for words in [".yaml", *named]:
        assert words in str(error.value)


DATABASE = GOOD.replace(
    "path: shop/*.csv\nformat: csv",
    "format: jsonl\ndatabase: {connection: shop, table: orders, cursor: at, key: id, overlap: 1h}",
)


def test_a_database_has_a_duration_or_a_number_as_overlap(settings):
    for written, overlap in {
        "30min": timedelta(minutes=30),
        "2 d": timedelta(days=2),
        "100": 100,
        "0s": timedelta(),
    }.items():
        write(settings, DATABASE.replace("1h", written))
        assert load_source("shop", settings).database.overlap == overlap
    write(settings, DATABASE.replace(", overlap: 1h", "").replace("key: id", "key: [order_no, line]"))
    database = load_source("shop", settings).database
    assert (database.key, database.overlap) == (("order_no", "line"), None)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("table: orders, ", "", ["field database.table", "by table or by query"]),
        ("table: orders", "table: orders, query: select 1", ["field database.table", "not by both"]),
        ("table: orders", "table: a.b.c", ["field database.table", "'a.b.c'"]),
        ("connection: shop", "connection: postgresql://me@host/shop", ["field database.connection"]),
        (", key: id", "", ["field database.key is missing"]),
        ("key: id", "key: []", ["field database.key"]),
        ("cursor: at, ", "", ["field database.overlap", "1:00:00"]),
        ("1h", "soon", ["field database.overlap", "'soon'"]),
        ("1h", "-5", ["field database.overlap", "-5"]),
        ("1h", "1.5", ["field database.overlap", "1.5"]),
        ("table", "tabel", ["unknown field database.tabel", "'orders'"]),
        ("jsonl", "csv", ["field format", "'csv'"]),
        ("format:", "url: s3://a/b\nformat:", ["field path", "only by one"]),
    ],
)
def test_a_wrong_database_names_file_field_and_value(settings, before, after, named):
    assert before in DATABASE
    write(settings, DATABASE.replace(before, after, 1))
    with pytest.raises(BadConfig) as error:
        load_source("shop", settings)
    for words in ["shop.yaml", *named]:
        assert words in str(error.value)


JOINED = GOOD.replace(
    "path: shop/*.csv\nformat: csv",
    "format: jsonl\ndatabase: {files: {items: shop/items*, orders: shop/orders*}, query: select 1 as id, key: id}",
)


def test_a_query_may_join_files(settings):
    write(settings, JOINED)
    database = load_source("shop", settings).database
    assert (database.connection, database.files) == (None, {"items": "shop/items*", "orders": "shop/orders*"})


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("{files:", "{connection: shop, files:", ["field database.connection", "by connection or by files"]),
        ("files: {items: shop/items*, orders: shop/orders*}, ", "", ["field database.connection", "by files"]),
        ("query: select 1 as id", "table: orders", ["field database.table", "'orders'", "joined by one"]),
        ("items: shop", "Order Items: shop", ["field database.files", "'Order Items'"]),
        ("shop/items*", "../items*", ["field database.files.items", "'../items*'"]),
        ("shop/items*", "/srv/items*", ["field database.files.items", "'/srv/items*'"]),
        ("shop/items*", "''", ["field database.files.items", "''"]),
        ("select 1 as id", "selec 1", ["field database.query", "syntax error"]),
        ("select 1 as id", "drop table items", ["field database.query", "not one SELECT"]),
        ("select 1 as id", "select 1; select 2", ["field database.query", "not one SELECT"]),
        ("jsonl", "jsonl\ncsv: {header: [id]}", ["field csv.header"]),
    ],
)
def test_a_wrong_query_over_files_names_file_field_and_value(settings, before, after, named):
    assert before in JOINED
    write(settings, JOINED.replace(before, after, 1))
    with pytest.raises(BadConfig) as error:
        load_source("shop", settings)
    for words in ["shop.yaml", *named]:
        assert words in str(error.value)


SHOP = GOOD.replace(
    "path: shop/*.csv\nformat: csv",
    "format: json\nwoocommerce: {connection: shop, resource: orders, overlap: 30min, parameters: {role: all}}",
)


def test_a_shop_has_an_overlap_of_an_hour_unless_it_says_another(settings):
    write(settings, SHOP)
    shop = load_source("shop", settings).woocommerce
    assert (shop.resource, shop.overlap, shop.parameters) == ("orders", timedelta(minutes=30), {"role": "all"})
    write(settings, SHOP.replace("overlap: 30min, ", ""))
    assert load_source("shop", settings).woocommerce.overlap == timedelta(hours=1)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("connection: shop", "connection: https://shop.example", ["field woocommerce.connection"]),
        (", resource: orders", "", ["field woocommerce.resource is missing"]),
        ("resource: orders", "resource: ../users", ["field woocommerce.resource", "'../users'"]),
        ("30min", "30", ["field woocommerce.overlap", "is no duration such as 30min"]),
        ("role: all", "per_page: 10", ["field woocommerce.parameters.per_page", "goes on by"]),
        ("role: all", "consumer_secret: cs_2", ["field woocommerce.parameters.consumer_secret", "no secrets"]),
        ("format: json", "format: jsonl", ["field format", "'jsonl' must be 'json'"]),
        ("format:", "path: shop/*\nformat:", ["field path", "only by one"]),
    ],
)
def test_a_wrong_shop_names_file_field_and_value(settings, before, after, named):
    assert before in SHOP
    write(settings, SHOP.replace(before, after, 1))
    with pytest.raises(BadConfig) as error:
        load_source("shop", settings)
    for words in ["shop.yaml", *named]:
        assert words in str(error.value)
    assert "cs_2" not in str(error.value)
