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
    for table in list(query.find_all(exp.Table)):
        name = f"{table.db}.{table.name}"
        if missing and name == model.table:
            columns = ", ".join(f"cast(null as {kind}) as {column}" for column, kind in model.cast_columns.items())
            _read_instead(table, f"select {columns} where false")
        elif name in picked:
            _read_instead(table, f"select * from {name} where {picked[name]}")
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
