"""From a model to the SELECT that an engine runs: the day filled in, inputs picked at touched keys."""

from collections.abc import Mapping
from datetime import date

import sqlglot
from sqlglot import exp

from perennial.warehouse.model import DIALECT, Model


def compose(model: Model, day: date, dialect: str, *, picked: Mapping[str, str], missing: bool) -> str:
    """
    The model's SELECT as of `day`.

    `picked` maps a table to the condition on its rows that count. `missing` says that the model's own table is not
    there yet, so a history that reads itself reads nothing.
    """
    query = model.query.copy()
    for placeholder in list(query.find_all(exp.Placeholder)):
        placeholder.replace(exp.cast(exp.Literal.string(day.isoformat()), "date"))
    read: dict[str, list[exp.Table]] = {}
    for table in query.find_all(exp.Table):
        read.setdefault(f"{table.db}.{table.name}", []).append(table)
    if missing:
        columns = ", ".join(f"cast(null as {kind}) as {column}" for column, kind in model.cast_columns.items())
        for table in read.get(model.table, []):
            _read_instead(table, f"select {columns} where false")
    for name, condition in picked.items():
        rows = f"select * from {name} where {condition}"
        if len(read[name]) > 1 and dialect == DIALECT:  # DuckDB would look for them each time; others have an index
            query = _read_once(query, read[name], rows)
        else:
            for table in read[name]:
                _read_instead(table, rows)
    return translate(query, dialect)


def translate(query: exp.Expr, dialect: str) -> str:
    """The query as the engine reads it, with the types that DuckDB gives: 7-portable-sql says what goes wrong else."""
    if dialect == DIALECT:
        return query.sql(dialect, comments=False)

    def whole(node: exp.Expr) -> exp.Expr:
        return exp.cast(node, "bigint") if isinstance(node, exp.DateDiff) else node

    return query.transform(whole).sql(dialect, comments=False)


def _read_instead(table: exp.Table, select: str) -> None:
    table.replace(sqlglot.parse_one(select, read=DIALECT, into=exp.Select).subquery(table.alias_or_name))


def _read_once(query: exp.Query, tables: list[exp.Table], select: str) -> exp.Query:
    """Let all of `tables`, which are the same, read one materialized CTE."""
    name = f"picked_{tables[0].db}_{tables[0].name}"
    for table in tables:
        table.replace(exp.alias_(exp.to_table(name), table.alias_or_name, table=True))
    query = query.with_(name, select, materialized=True, dialect=DIALECT, copy=False)
    expressions = query.args["with_"].expressions
    expressions.insert(0, expressions.pop())  # before those that read it
    return query
