"""The suites of the six contracts: what each quarantines, warns of and lets pass."""

import duckdb
import pytest

from perennial.contracts import Contract, Expectation, Severity, load_contract, load_contracts
from perennial.foundation.errors import BadConfig, BadData
from perennial.foundation.settings import load_settings
from perennial.quality import FINDINGS, validate
from perennial.sources.mapping import typed_table

SETTINGS = load_settings()

GOOD = {
    "order_lines": {
        "order_id": "1",
        "ordered_at": "2026-01-05 10:00:00+00",
        "quantity": "-2",
        "unit_price": "9.9",
        "discount": "1",
        "currency": "EUR",
        "status": "returned",
        "channel": "store",
        "email": "ann@shop.example",
    },
    "customers": {
        "customer_ref": "c1",
        "email": "ann@shop.example",
        "phone": "+49 30 1234-567",
        "birthday": "1980-02-29",
        "country": "DE",
        "locale": "zh-CN",
        "signup_at": "2020-01-01 00:00:00+00",
        "updated_at": "2026-01-01 00:00:00+00",
        "acquisition_cost": "0",
    },
    "interactions": {
        "occurred_at": "2026-01-05 10:00:00+00",
        "device_id": "d1",
        "channel": "web",
        "kind": "survey_nps",
        "rating": "10",
    },
    "products": {
        "sku": "s1",
        "price": "10",
        "unit_cost": "4",
        "url": "https://shop.example/s1",
        "image_url": "https://shop.example/s1.jpg",
        "replenish_days": "30",
    },
    "consents": {
        "email": "ann@shop.example",
        "channel": "email",
        "topic": "offers",
        "state": "granted",
        "recorded_at": "2026-01-05 10:00:00+00",
        "method": "form",
    },
    "costs": {
        "from_day": "2026-01-01",
        "to_day": "2026-01-01",
        "channel": "search",
        "amount": "12.5",
        "currency": "EUR",
    },
}

QUARANTINED = [
    ("order_lines", "order_id", None, "order_id_present"),
    ("order_lines", "ordered_at", None, "ordered_at_present"),
    ("order_lines", "ordered_at", "1026-01-05 10:00:00+00", "ordered_at_plausible"),
    ("order_lines", "ordered_at", "2026-02-03 10:00:00+00", "ordered_at_plausible"),
    ("order_lines", "quantity", None, "quantity_present"),
    ("order_lines", "quantity", "0", "quantity_not_zero"),
    ("order_lines", "quantity", "999999999", "amount_plausible"),
    ("order_lines", "unit_price", None, "unit_price_present"),
    ("order_lines", "unit_price", "-0.01", "unit_price_not_negative"),
    ("order_lines", "status", "lost", "status_known"),
    ("order_lines", "channel", "fax", "channel_known"),
    ("order_lines", "currency", "euro", "currency_is_iso"),
    ("order_lines", "_unreadable", "discount, tax", "readable: discount, tax"),
    ("customers", "customer_ref", None, "customer_ref_present"),
    ("customers", "signup_at", "2026-02-03 10:00:00+00", "signup_at_plausible"),
    ("customers", "updated_at", "2026-02-03 10:00:00+00", "updated_at_not_in_the_future"),
    ("customers", "acquisition_cost", "-1", "acquisition_cost_not_negative"),
    ("interactions", "device_id", None, "somebody"),
    ("interactions", "occurred_at", "1970-01-01 00:00:00+00", "occurred_at_plausible"),
    ("interactions", "kind", "Page View", "kind_shape"),
    ("interactions", "kind", None, "kind_present"),
    ("interactions", "channel", "?", "channel_shape"),
    ("interactions", "rating", "11", "rating_in_range"),
    ("products", "sku", None, "sku_present"),
    ("products", "price", "-1", "price_not_negative"),
    ("products", "unit_cost", "-1", "unit_cost_not_negative"),
    ("products", "replenish_days", "0", "replenish_days_plausible"),
    ("products", "url", "javascript:alert(1)", "url_is_http"),
    ("products", "image_url", "ftp://x", "image_url_is_http"),
    ("consents", "email", None, "somebody"),
    ("consents", "state", "yes", "state_known"),
    ("consents", "channel", "fax", "channel_known"),
    ("consents", "topic", "Offers!", "topic_shape"),
    ("consents", "recorded_at", None, "recorded_at_present"),
    ("consents", "recorded_at", "2027-01-01 00:00:00+00", "recorded_at_plausible"),
    ("costs", "amount", "-1", "amount_not_negative"),
    ("costs", "amount", None, "amount_present"),
    ("costs", "channel", None, "spent_on_something"),
    ("costs", "to_day", "2025-12-31", "period_in_order"),
    ("costs", "from_day", "0026-01-01", "period_plausible"),
    ("costs", "currency", "$", "currency_is_iso"),
]

WARNED = [
    ("order_lines", "unit_price", "0", "unit_price_not_zero"),
    ("order_lines", "discount", "-1", "discount_not_negative"),
    ("order_lines", "email", "ann@shop", "email_shape"),
    ("order_lines", "email", None, "customer_known"),
    ("customers", "email", "ann shop.example", "email_shape"),
    ("customers", "phone", "call me", "phone_shape"),
    ("customers", "birthday", "2026-02-02", "birthday_plausible"),
    ("customers", "country", "Germany", "country_is_iso"),
    ("customers", "locale", "german!", "locale_is_bcp47"),
    ("interactions", "kind", "danced", "kind_known"),
    ("interactions", "channel", "fax", "channel_known"),
    ("interactions", "rating", None, "survey_has_rating"),
    ("interactions", "email", "x", "email_shape"),
    ("products", "unit_cost", "11", "cost_below_price"),
    ("consents", "method", None, "consent_has_method"),
]


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


def typed(connection, contract, rows):
    connection.execute(typed_table(contract))
    for number, row in enumerate(rows):
        columns = {"_id": number, "_landed_at": "2026-02-01 08:00:00+00"} | row
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        connection.execute(f"insert into typed ({names}) values ({marks})", list(columns.values()))


def findings(connection):
    return dict(connection.execute(f"select _id, reasons from {FINDINGS} order by _id").fetchall())


@pytest.mark.parametrize("name", GOOD)
def test_each_suite(connection, name):
    """One good row, then one row for each rule, broken by nothing but that rule."""
    contract = load_contract(name, SETTINGS)
    quarantined = [(column, value, rule) for contracts, column, value, rule in QUARANTINED if contracts == name]
    warned = [(column, value, rule) for contracts, column, value, rule in WARNED if contracts == name]
    rows = [GOOD[name], *(GOOD[name] | {column: value} for column, value, _ in quarantined + warned)]
    typed(connection, contract, rows)
    checks = {check.rule: check for check in validate(connection, "typed", contract)}
    assert findings(connection) == {place: [rule] for place, (_, _, rule) in enumerate(quarantined, start=1)}
    for _, _, rule in warned:
        assert checks[rule].failed >= 1, rule  # rows made for another rule may break it too
        assert not checks[rule].passed
        assert checks[rule].severity in ("warning", "info")
    assert set(checks) == {"readable"} | {expectation.rule for expectation in contract.expectations}
    assert {check.rows for check in checks.values()} == {len(rows)}


def test_every_rule_of_every_suite_has_a_row_that_breaks_it():
    tested = {(name, rule.partition(":")[0]) for name, _, _, rule in QUARANTINED + WARNED}
    written = {
        (name, expectation.rule)
        for name, contract in load_contracts(SETTINGS).items()
        for expectation in contract.expectations
    }
    known_elsewhere = {
        ("customers", "customer_ref_once_per_batch"),  # every other row of test_each_suite repeats the reference
        ("products", "sku_once_per_batch"),
        ("consents", "email_shape"),
        ("consents", "channel_present"),
        ("consents", "state_present"),
        ("interactions", "occurred_at_present"),
        ("interactions", "channel_present"),
        ("costs", "from_day_present"),
        ("costs", "to_day_present"),
    }
    assert written - tested == known_elsewhere


def test_a_row_is_quarantined_once_with_all_its_reasons(connection):
    contract = load_contract("order_lines", SETTINGS)
    typed(connection, contract, [GOOD["order_lines"] | {"quantity": "0", "unit_price": "-1", "_unreadable": "tax"}])
    validate(connection, "typed", contract)
    assert findings(connection) == {0: ["quantity_not_zero", "readable: tax", "unit_price_not_negative"]}


def test_an_unreadable_required_value_is_not_called_missing(connection):
    contract = load_contract("order_lines", SETTINGS)
    typed(connection, contract, [GOOD["order_lines"] | {"quantity": None, "_unreadable": "quantity"}])
    validate(connection, "typed", contract)
    assert findings(connection) == {0: ["readable: quantity"]}


def test_an_empty_table_is_held_to_nothing(connection):
    contract = load_contract("costs", SETTINGS)
    typed(connection, contract, [])
    assert validate(connection, "typed", contract) == []
    assert findings(connection) == {}


def with_rule(expect, severity=Severity.CRITICAL, **kwargs):
    costs = load_contract("costs", SETTINGS)
    rule = Expectation(rule="extra", severity=severity, expect=expect, kwargs=kwargs)
    return Contract(**{**vars(costs), "expectations": (*costs.expectations, rule)})


def test_a_critical_rule_about_the_table_refuses_the_batch(connection):
    contract = with_rule("expect_table_row_count_to_be_between", min_value=5)
    typed(connection, contract, [GOOD["costs"]])
    with pytest.raises(BadData, match=r"costs: the batch breaks the critical rule extra \(observed 1\)"):
        validate(connection, "typed", contract)


def test_a_warning_about_the_table_is_recorded(connection):
    contract = with_rule("expect_table_row_count_to_be_between", Severity.WARNING, min_value=5)
    typed(connection, contract, [GOOD["costs"]])
    check = validate(connection, "typed", contract)[-1]
    assert (check.rule, check.passed, check.failed, check.detail) == ("extra", False, 1, "observed 1")


@pytest.mark.parametrize(
    ("expect", "kwargs"),
    [
        ("expect_column_values_to_match_regex", {"column": "channel", "regex": "(?=x)"}),
        ("unexpected_rows_expectation", {"unexpected_rows_query": "select _id from {batch} where nope = 1"}),
        ("expect_miracles", {}),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_named(connection, expect, kwargs):
    contract = with_rule(expect, **kwargs)
    typed(connection, contract, [GOOD["costs"]])
    with pytest.raises(BadConfig, match=rf"costs.yaml: rule extra \({expect}"):
        validate(connection, "typed", contract)
