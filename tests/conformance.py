"""What two warehouses disagree on: table, key, column and both values."""

import duckdb

from contents import compared
from perennial.flows.tables import all_models
from perennial.warehouse import open_warehouse

TOLERANCE = 1e-9  # of doubles; relative above one, absolute below
TOLD = 5  # differing values a table
_KEYS = {  # of the tables that no model makes; where there is none, the whole row is the key
    "raw.files": ("source", "file", "version"),
    "raw.forms": ("source", "file", "version", "column_name", "is_mapped", "form"),
    "raw.mix": ("source", "file", "version", "column_name", "value"),
    "quarantine.rows": ("source", "file", "version", "row"),
    "raw.*": ("_source", "_file", "_version", "_row"),
}


def held(settings):
    """Table -> (columns with types, rows) of everything that comparisons look at."""
    with open_warehouse(settings) as warehouse:
        return {
            table: (columns, warehouse.query(f"select {', '.join(columns)} from {table}"))
            for table, columns in compared(warehouse).items()
        }


def differences(expected, found, settings):
    """A line for each value in which `found` differs from `expected` (both of `held`); the first few of each table."""
    models = all_models(settings)
    lines = [f"{table}: is in one warehouse only" for table in sorted(set(expected) ^ set(found))]
    with duckdb.connect() as scratch:
        scratch.execute("set timezone = 'UTC'")
        for table in sorted(set(expected) & set(found)):
            columns, rows = expected[table]
            other_columns, other_rows = found[table]
            if list(columns.items()) != list(other_columns.items()):
                lines.append(f"{table}: has columns {columns} and {other_columns}")
                continue
            scratch.register("expected", rows)
            scratch.register("found", other_rows)
            key = models[table].grain if table in models else _key(table)
            lines += [f"{table}: {line}" for line in _differing(scratch, columns, key or tuple(columns))]
            scratch.unregister("expected")
            scratch.unregister("found")
    return lines


def _key(table):
    return _KEYS.get(table, _KEYS["raw.*"] if table.startswith("raw.") and table != "raw.checks" else ())


def _differing(scratch, columns, key):
    """Rows that one side lacks or has more often, then values that differ in rows of one key."""
    keys = ", ".join(key)
    same_key = " and ".join(f"a.{name} is not distinct from b.{name}" for name in key)
    counted = f"select {keys}, count(*) as times from {{}} group by all"
    for row in scratch.execute(
        f"select coalesce(a.times, 0), coalesce(b.times, 0), {', '.join(f'coalesce(a.{k}, b.{k})' for k in key)}"
        f" from ({counted.format('expected')}) as a full join ({counted.format('found')}) as b on {same_key}"
        f" where a.times is distinct from b.times order by all limit {TOLD}"
    ).fetchall():
        yield f"{_named(key, row[2:])}: {row[0]} and {row[1]} rows"
    pairs = f"expected as a join found as b on {same_key}"
    differs = {column: _differs(column, kind) for column, kind in columns.items() if column not in key}
    counts = ", ".join(f"count(*) filter ({condition})" for condition in differs.values())
    [numbers] = scratch.execute(f"select {counts} from {pairs}").fetchall() if differs else [()]
    for column, number in zip(differs, numbers, strict=True):
        for row in scratch.execute(
            f"select a.{column}, b.{column}, {', '.join(f'a.{k}' for k in key)} from {pairs}"
            f" where {differs[column]} order by all limit {TOLD if number else 0}"
        ).fetchall():
            yield f"{_named(key, row[2:])}: {column} is {row[0]!r} and {row[1]!r}"


def _differs(column, kind):
    if kind != "double":
        return f"a.{column} is distinct from b.{column}"
    close = f"abs(a.{column} - b.{column}) <= {TOLERANCE} * greatest(1, abs(a.{column}))"
    return f"a.{column} is distinct from b.{column} and not coalesce({close}, false)"


def _named(key, values):
    return ", ".join(f"{name} {value}" for name, value in zip(key, values, strict=True))
