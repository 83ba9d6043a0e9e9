"""What a rule demands can be read by somebody who knows neither Great Expectations nor SQL."""

import pytest

from perennial.contracts import Expectation, Severity, load_contracts
from perennial.foundation.settings import load_settings
from perennial.metrics.demands import demand, is_about_rows


def rule(expect, description="", **kwargs):
    return Expectation(rule="a_rule", severity=Severity.CRITICAL, expect=expect, kwargs=kwargs, description=description)


@pytest.mark.parametrize(
    ("expectation", "sentence"),
    [
        (rule("expect_column_values_to_be_between", column="price", min_value=0), "price is at least 0."),
        (
            rule("expect_column_values_to_be_between", column="days", min_value=1, max_value=9, strict_max=True),
            "days is at least 1 and below 9.",
        ),
        (rule("expect_table_row_count_to_be_between", min_value=5), "the number of rows is at least 5."),
        (
            rule("expect_column_values_to_be_in_set", column="state", value_set=["on", "off"]),
            "state is one of on, off.",
        ),
        (rule("expect_column_values_to_not_be_in_set", column="quantity", value_set=[0]), "quantity is not 0."),
        (
            rule("expect_column_values_to_be_unique", column="sku", mostly=0.9),
            "sku is different in every row of a batch, in at least 90% of the rows.",
        ),
        (
            rule("expect_column_pair_values_a_to_be_greater_than_b", column_A="a", column_B="b", or_equal=True),
            "a is at least b.",
        ),
        (rule("unexpected_rows_expectation", "Nobody is nobody.", unexpected_rows_query="x"), "Nobody is nobody."),
        (rule("unexpected_rows_expectation", unexpected_rows_query="select 1"), "No row is found by: select 1."),
        (rule("expect_something_else", column="x", of=[1, 2]), "Something else: column x, of 1, 2."),
    ],
)
def test_a_sentence(expectation, sentence):
    assert demand(expectation) == sentence


def test_every_shipped_rule_says_what_it_demands_without_sql():
    for contract in load_contracts(load_settings()).values():
        for expectation in contract.expectations:
            said = demand(expectation)
            assert "select" not in said, f"{contract.name}.{expectation.rule} needs a description"
            assert ": column" not in said, f"{contract.name}.{expectation.rule} has no sentence"
            assert is_about_rows(expectation)
    assert not is_about_rows(rule("expect_table_row_count_to_be_between"))
