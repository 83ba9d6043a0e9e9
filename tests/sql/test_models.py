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
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from perennial.contracts import load_contracts
from perennial.flows.mirror import create_mirrors
from perennial.flows.raw_tables import create_raw_tables
from perennial.flows.tables import all_models, rule_tables
from perennial.foundation.days import Origin, Run
from perennial.foundation.settings import load_settings
from perennial.warehouse import Materializer, Warehouse

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*/*.yaml"))
SETTINGS = load_settings(now="2026-02-01T09:30:00+01:00")
DAY = date(2026, 1, 31)
FIELDS = {"name", "day", "given", "touched", "expect"}
MEMORY = Path(":memory:")


@pytest.fixture(scope="session")
def models():
    return all_models(Run(DAY, Origin.DEMO), SETTINGS)


@pytest.fixture(scope="session")
def rule_books():
    return rule_tables(SETTINGS)


@pytest.fixture(scope="session")
def columns(models, rule_books):
    """Every table -> its columns and types, from building all models on nothing."""
    warehouse = Warehouse.connect(MEMORY, SETTINGS)
    materializer = Materializer(warehouse, models, DAY)
    create_raw_tables(warehouse, load_contracts(SETTINGS).values())
    create_mirrors(warehouse)
    for table, rows in rule_books.items():
        materializer.load_rules(table, rows)
    for model in models.values():
        materializer.build(model)
    tables = warehouse.query(
        "select table_schema || '.' || table_name as name from information_schema.tables where table_schema <> 'main'"
    )
    found = {name: warehouse.columns(name) for name in tables["name"].to_pylist()}
    warehouse.close()
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: str(path.relative_to(HERE).with_suffix("")))
def test_case(path, models, rule_books, columns):
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(case) <= FIELDS, f"unknown fields {set(case) - FIELDS}"
    table = f"{path.parent.parent.name}.{path.parent.name}"
    model, day, given = models[table], case["day"], case["given"]
    inputs = {*model.depends_on, "raw.files"} - {table}
    assert set(given) <= {*inputs, table}, f"{table} does not read {set(given) - inputs}"
    warehouse = Warehouse.connect(MEMORY, SETTINGS)
    for name in inputs:
        warehouse.create(name, columns[name])
        if name in rule_books and name not in given:
            warehouse.append(name, rule_books[name])
    if "touched" in case or table in given:  # the table is there, from an earlier run
        before = Materializer(warehouse, models, day)
        before.build(model)
        before.settle()
    for name, rows in given.items():
        insert(warehouse, name, columns[name], rows)
    materializer = Materializer(warehouse, models, day)
    for keys, values in case.get("touched", {}).items():
        for value in values:
            warehouse.execute(f"insert into touched.{keys} values ($value)", value=value)
    materializer.build(model)
    expected = case["expect"]
    named = sorted({column for row in expected for column in row}) or list(columns[table])
    assert set(named) <= set(columns[table]), f"{table} has no column {set(named) - set(columns[table])}"
    actual = warehouse.query(f"select {', '.join(named)} from {table}").to_pylist()
    assert warehouse.columns(table) == columns[table]  # types do not hang on the rows
    warehouse.close()
    assert as_bag(actual, named) == as_bag(expected, named)


def as_bag(rows, columns):
    return Counter(tuple((column, plain(row.get(column))) for column in columns) for row in rows)


def insert(warehouse, table, types, rows):
    for row in rows:
        assert set(row) <= set(types), f"{table} has no column {set(row) - set(types)}"
        values = ", ".join(f"cast(${column} as {types[column]})" for column in row)
        warehouse.execute(f"insert into {table} ({', '.join(row)}) values ({values})", **row)


def plain(value):
    """Values compared by what they mean: 20, 20.0 and Decimal("20.00") are one, moments are UTC."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float, Decimal)):
        return round(float(value), 9)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


def test_every_model_has_cases(models):
    without = [table for table in models if not list((HERE / table.replace(".", "/")).glob("*.yaml"))]
    assert without == []
