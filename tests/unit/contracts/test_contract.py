"""Contract files: what the six say, and how a wrong one is refused."""

import shutil

import pytest

from perennial.contracts import load_contract, load_contracts
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings

SETTINGS = load_settings()


def test_the_six_contracts_require_what_the_design_marks():
    assert {name: contract.required for name, contract in load_contracts(SETTINGS).items()} == {
        "consents": ("channel", "state", "recorded_at"),
        "costs": ("from_day", "to_day", "amount"),
        "customers": ("customer_ref",),
        "interactions": ("occurred_at", "channel", "kind"),
        "order_lines": ("order_id", "ordered_at", "quantity", "unit_price"),
        "products": ("sku",),
    }


def test_a_required_column_brings_its_rule():
    rules = [expectation.rule for expectation in load_contract("products", SETTINGS).expectations]
    assert rules[0] == "sku_present"


def test_every_timestamp_has_a_business_date():
    assert load_contract("customers", SETTINGS).date_columns == {
        "signup_date": "signup_at",
        "updated_date": "updated_at",
    }


def test_what_refers_to_what():
    contracts = load_contracts(SETTINGS)
    assert {name: contract.references for name, contract in contracts.items() if contract.references} == {
        "interactions": {"sku": ("products", "sku")},
        "order_lines": {"returns_order_id": ("order_lines", "order_id"), "sku": ("products", "sku")},
    }


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("description:", "descripton:", ["unknown field descripton"]),
        ("severity: warning", "severity: bad", ["expectations.5.severity", "'bad'"]),
        ("sku: {type: text, required: true}", "sku: {type: string}", ["columns.sku.type", "'string'"]),
        ("key: [sku]", "key: [sku, shelf]", ["field key", "'shelf'"]),
        ("column: price, min_value", "column: prize, min_value", ["expectations.0.kwargs.column", "'prize'"]),
        ("column: price, min_value", "column: [price], min_value", ["expectations.0.kwargs.column", "['price']"]),
        ("rule: price_not_negative", "rule: sku_present", ["expectations.0.rule", "'sku_present'"]),
        ("contract: products", "contract: product", ["field contract", "'product'"]),
        ("key: [sku]", "key: [sku]\nnumbered_by: name", ["field numbered_by", "'name'"]),
        ("key: [sku]", "key: [sku]\ndated_by: name", ["field dated_by", "'name'"]),
        ("key: [sku]", "key: [sku]\nkey: [name]", ["'key' is written twice"]),
        ("name: {type: text}", "name: {type: text, mix: often}", ["field columns.name.mix", "'often'"]),
        (
            "name: {type: text}",
            "name: {type: text, pii: true, mix: true}",
            ["field columns.name.mix", "'name' is personal data"],
        ),
        ("name: {type: text}", "name: {type: json, mix: true}", ["field columns.name.mix", "'name' is of type json"]),
        ("name: {type: text}", "name: {type: text, refers_to: brands}", ["field columns.name.refers_to", "'brands'"]),
        (
            "name: {type: text}",
            "name: {type: text, refers_to: brands.name}",
            ["field columns.name.refers_to", "'brands.name'", "no contract 'brands'", "order_lines, products"],
        ),
        (
            "name: {type: text}",
            "name: {type: text, refers_to: costs.product}",
            ["field columns.name.refers_to", "contract costs has no column 'product'", "It has: from_day, "],
        ),
        (
            "name: {type: text}",
            "name: {type: text, refers_to: costs.amount}",
            ["field columns.name.refers_to", "'costs.amount': is of type money, and 'name' of type text"],
        ),
    ],
)
def test_a_wrong_contract_names_file_field_and_value(tmp_path, before, after, named):
    settings = load_settings(include=tmp_path)
    shutil.copytree(SETTINGS.include / "expectations", tmp_path / "expectations")
    path = tmp_path / "expectations" / "products.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(BadConfig) as error:
        load_contract("products", settings)
    for words in ["products.yaml", *named]:
        assert words in str(error.value)


def test_an_unknown_contract_lists_the_known_ones():
    with pytest.raises(BadConfig, match=r"no such contract 'orders'.*order_lines"):
        load_contract("orders", SETTINGS)
