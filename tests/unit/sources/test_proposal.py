"""A first source file guessed from a CSV."""

import gzip
from datetime import datetime

import pytest

from perennial.contracts import load_contract
from perennial.flows.new_source import new_source
from perennial.foundation.errors import BadConfig, BadData
from perennial.foundation.settings import load_settings
from perennial.sources import load_source, propose


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "include").mkdir()
    return load_settings(include=tmp_path / "include", home=tmp_path / "home")


@pytest.fixture
def guessed(tmp_path, settings):
    """A function that makes a source of a file with the given text, and returns it and what was said."""

    def guess(text, contract="order_lines", name="shop.csv"):
        file = tmp_path / name
        content = text.encode("cp1252")
        file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        _, proposal = new_source("shop", file, contract, settings)
        return load_source("shop", settings), proposal

    return guess


def test_columns_are_found_by_name_and_what_is_guessed_is_a_source(guessed):
    source, proposal = guessed(
        "Invoice No,InvoiceDate,Customer ID,StockCode,Quantity,Price,Mood\n"
        "A1,2017-03-01 10:00:00,17850.0,22,1,2.50,good\n"
        "A2,2017-01-28 19:06:53,17851.0,23,2,1.50,bad\n"
    )
    assert proposal.columns == {
        "order_id": "Invoice No",
        "ordered_at": "InvoiceDate",
        "customer_ref": "Customer ID",
        "sku": "StockCode",
        "quantity": "Quantity",
        "unit_price": "Price",
    }
    assert source.path == "shop/*.csv"
    assert source.columns["order_id"].names == ("Invoice No",)
    assert source.columns["customer_ref"].sql == "regexp_replace(\"Customer ID\", '[.]0$', '')"
    assert source.formats == {}
    assert source.encodings == ("utf-8",)
    assert proposal.text.splitlines()[-1] == "# Columns of the file that nothing above reads: Mood"
    assert (proposal.first, proposal.last) == (datetime(2017, 1, 28, 19, 6, 53), datetime(2017, 3, 1, 10))  # noqa: DTZ001


def test_a_german_export_packed_with_gzip(guessed):
    source, proposal = guessed(
        "order_no;created;qty;price;product\n7;31.01.2026 18:00;1,5;1.234,50;Käse\n8;01.02.2026 09:30;2,0;0,99;Öl\n",
        name="Januar.csv.gz",
    )
    assert (source.delimiter, source.encodings, source.path) == (";", ("utf-8", "cp1252"), "shop/*.csv.gz")
    assert source.formats == {"ordered_at": ("%d.%m.%Y %H:%M",)}
    assert source.columns["unit_price"].sql == "replace(replace(\"price\", '.', ''), ',', '.')"
    assert source.columns["quantity"].sql == "replace(\"qty\", ',', '.')"
    assert proposal.last == datetime(2026, 2, 1, 9, 30)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (("03/31/2026", "04/01/2026"), ("%m/%d/%Y",)),
        (("31/03/2026", "04/01/2026"), ("%d/%m/%Y",)),
        (("2026-03-31T10:00:00Z", "2026-04-01T10:00:00Z"), None),
        (("soon", "later"), None),
    ],
)
def test_dates_that_need_a_format_get_the_one_that_fits(guessed, dates, expected):
    rows = "".join(f"{n},{date},1,1\n" for n, date in enumerate(dates))
    source, _ = guessed(f"order_id,date,quantity,price\n{rows}")
    assert source.formats.get("ordered_at") == expected


def test_what_is_required_and_not_found_is_said_and_left_to_the_person(tmp_path, settings):
    file = tmp_path / "shop.csv"
    file.write_text("order_id,ordered_at,quantity,total\n1,2026-01-31,3,9.99\n")
    path, proposal = new_source("shop", file, "order_lines", settings)
    assert proposal.missing == ("unit_price",)
    assert "  # unit_price:    # price, required\n" in path.read_text()
    with pytest.raises(BadConfig, match=r"field columns.unit_price: is missing"):
        load_source("shop", settings)


@pytest.mark.parametrize("contract", ["consents", "costs", "customers", "interactions", "order_lines", "products"])
def test_every_contract_is_found_by_its_own_names(guessed, settings, contract):
    columns = load_contract(contract, settings).columns
    source, proposal = guessed(",".join(columns) + "\n" + ",".join("1" for _ in columns) + "\n", contract)
    assert proposal.columns == {name: name for name in columns}
    assert list(source.columns) == list(columns)


def test_a_source_is_never_overwritten_and_never_put_into_the_shipped_folder(tmp_path, settings, guessed):
    header = "sku\n1\n"
    guessed(header, "products")
    file = tmp_path / "shop.csv"
    with pytest.raises(BadConfig, match=r"shop.yaml: exists already"):
        new_source("shop", file, "products", settings)
    with pytest.raises(BadConfig, match="PERENNIAL_INCLUDE names no folder of your own"):
        new_source("shop", file, "products", load_settings(home=tmp_path))
    with pytest.raises(BadConfig, match="use lower-case letters"):
        new_source("../shop", file, "products", settings)
    with pytest.raises(BadConfig, match="no such contract 'orders'"):
        new_source("other", file, "orders", settings)


def test_what_is_no_csv_is_refused(tmp_path, settings):
    (tmp_path / "shop.csv").write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(BadData, match=r"shop.csv: not readable as text"):
        propose("shop", tmp_path / "shop.csv", load_contract("products", settings))
    (tmp_path / "shop.csv").write_bytes(b"")
    with pytest.raises(BadData, match=r"shop.csv: is empty, without even a header"):
        propose("shop", tmp_path / "shop.csv", load_contract("products", settings))
