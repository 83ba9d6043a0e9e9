"""
Every model against its cases: `tests/sql/<schema>/<table>/<case>.yaml`.

    name: a late order restates only its own day
    day: 2026-03-02
    touched: {days: [2026-03-01]}     # refresh what is touched; without it the table is built whole
    given:
      core.orders: [{...}]            # tables not given are empty, rule books not given are the shipped ones
    expect: [{...}]                   # all rows, in any order, by the columns that the case names
"""

from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from engines import Warehouses
from table_bench import Bench

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*/*.yaml"))
FIELDS = {"name", "day", "given", "touched", "expect"}


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.relative_to(HERE).with_suffix("")))
def test_case(path, bench):
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(case) <= FIELDS, f"unknown fields {set(case) - FIELDS}"
    table = f"{path.parent.parent.name}.{path.parent.name}"
    actual = bench.build(table, case["day"], case["given"], case.get("touched"))
    expected = case["expect"]
    named = sorted({column for row in expected for column in row}) or actual.column_names
    assert set(named) <= set(actual.column_names), f"{table} has no column {set(named) - set(actual.column_names)}"
    assert as_bag(actual.to_pylist(), named) == as_bag(expected, named)


def as_bag(rows, columns):
    return Counter(tuple((column, plain(row.get(column))) for column in columns) for row in rows)


def plain(value):
    """Values compared by what they mean: 20, 20.0 and Decimal("20.00") are one, moments are UTC."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float, Decimal)):
        return round(float(value), 9)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


def test_every_model_has_cases(bench):
    without = [table for table in bench.models if not list((HERE / table.replace(".", "/")).glob("*.yaml"))]
    assert without == []


def test_every_case_has_a_model(bench):
    assert {f"{path.parent.parent.name}.{path.parent.name}" for path in CASES} <= set(bench.models)


def test_every_engine_makes_the_same_columns(bench):
    """Names, order and types, of every table; DuckDB's are the measure."""
    assert bench.columns == Bench(Warehouses("duckdb", None)).columns
