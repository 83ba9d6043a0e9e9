"""
The portable subset: which SQL a model may use.

Default deny, on purpose: of 121 everyday snippets put through SQLGlot 22 ran on every engine with *different* results
(DECISIONS.md, "Portable SQL"). A construct is added here only with cases in `tests/sql` that hold on every engine.
"""

from collections.abc import Collection, Iterator

from sqlglot import exp

_STRUCTURE = (
    exp.Select, exp.Union, exp.With, exp.CTE, exp.Subquery, exp.From, exp.Join, exp.Table, exp.TableAlias,
    exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Qualify, exp.Distinct,
    exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Literal, exp.Null, exp.Boolean, exp.Placeholder,
    exp.Paren, exp.Tuple, exp.Values, exp.Cast, exp.DataType, exp.DataTypeParam, exp.Var, exp.Interval,
    exp.Window, exp.WindowSpec, exp.Filter, exp.Exists,
)  # fmt: skip
_OPERATORS = (
    exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.In, exp.Between,
    exp.Like, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.DPipe, exp.Case, exp.If,
    exp.NullSafeEQ, exp.NullSafeNEQ,
)  # fmt: skip
_FUNCTIONS = (
    exp.Count, exp.Sum, exp.Min, exp.Max, exp.RowNumber, exp.Rank, exp.Ntile, exp.Lag, exp.Lead,
    exp.FirstValue, exp.GroupConcat, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least, exp.Abs, exp.Round, exp.Floor,
    exp.Ceil, exp.Exp, exp.Ln, exp.Lower, exp.Upper, exp.Length, exp.Trim, exp.Concat, exp.SplitPart, exp.Substring,
    exp.Replace, exp.StartsWith, exp.DateDiff, exp.DateAdd, exp.DateTrunc, exp.TimestampTrunc, exp.Extract, exp.MD5,
    exp.Bracket,
)  # fmt: skip
_ORDERED = (exp.RowNumber, exp.Rank, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue)
ALLOWED = frozenset({*_STRUCTURE, *_OPERATORS, *_FUNCTIONS})

# Macros: one meaning, one template an engine. They stay out of SQLGlot's translation.
MACROS = frozenset({"bucket", "address_hash", "money_per"})


def lint(query: exp.Query) -> Iterator[str]:
    """What in `query` lies outside the portable subset, a sentence each."""
    ctes = {cte.alias for cte in query.find_all(exp.CTE)}
    for node in query.walk():
        if isinstance(node, exp.Anonymous):
            if node.name.lower() not in MACROS:
                yield f"function {node.name.lower()}() is not in the portable subset."
        elif type(node) not in ALLOWED:
            yield f"{type(node).__name__} ({_excerpt(node)}) is not in the portable subset."
        if isinstance(node, exp.Table):
            yield from _lint_table(node, ctes)
        if isinstance(node, exp.Join):
            yield from _lint_join(node)
        yield from _lint_order(node)
        if isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count):
            yield "`*` outside count(*): name the columns."
        if isinstance(node, exp.Placeholder) and node.name != "day":
            yield f"parameter ${node.name}: models know $day only."


def _lint_table(table: exp.Table, ctes: Collection[str]) -> Iterator[str]:
    if not isinstance(table.this, exp.Identifier):
        yield f"{_excerpt(table)} is a table function; models read tables."
    elif not table.db and table.name not in ctes:
        yield f"table {table.name!r} is written without its schema."


def _lint_join(join: exp.Join) -> Iterator[str]:
    kind = join.kind.lower()
    if kind in ("semi", "anti", "asof", "positional"):
        yield f"{kind} join: use exists / not exists."
    elif kind != "cross" and not (join.args.get("on") or join.args.get("using")):
        yield f"a join without a condition ({_excerpt(join)}): write `on`, or `cross join`."


def _lint_order(node: exp.Expr) -> Iterator[str]:
    """What leaves columns, rows or values to the engine's own order."""
    if isinstance(node, exp.Distinct) and node.args.get("on"):
        yield "distinct on: use row_number()."
    if isinstance(node, exp.Group) and node.args.get("all"):
        yield "group by all: name the expressions."
    if isinstance(node, exp.Ordered) and isinstance(node.this, exp.Var):
        yield "order by all: name the columns."
    if isinstance(node, exp.SetOperation) and node.args.get("by_name"):
        yield "union by name: write the columns in the same order."
    if isinstance(node, exp.Select) and node.args.get("limit") and not node.args.get("order"):
        yield "limit without `order by`: which rows stay is left to the engine."
    if isinstance(node, exp.GroupConcat) and not node.find(exp.Order):
        yield f"{_excerpt(node)} without `order by`: the order of its items is left to the engine."
    if isinstance(node, exp.Window) and isinstance(node.this, _ORDERED) and not node.args.get("order"):
        yield f"{_excerpt(node)} without `order by`: which row comes first is left to the engine."


def _excerpt(node: exp.Expr, length: int = 60) -> str:
    text = node.sql("duckdb", comments=False)
    return text if len(text) <= length else text[:length] + "…"
