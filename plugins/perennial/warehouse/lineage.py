"""Of which columns of which tables the columns of a SELECT are made."""

from collections.abc import Iterable, Iterator

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

Origins = dict[str, frozenset[tuple[str, str]]]
_Found = dict[int, list[tuple[str, frozenset[tuple[str, str]]]]]  # the columns of each query, in order

# What these make of a value is truth, a number, a hash or a bucket: the value itself is not seen in it.
_HIDING = (exp.Predicate, exp.Connector, exp.Not, exp.StartsWith, exp.Count, exp.Length, exp.MD5, exp.SHA2)
_HIDING_MACROS = {"address_hash", "bucket"}


def origins(query: exp.Query) -> Origins:
    """
    Column of `query` -> the (table, column) whose values can be seen in its own.

    A condition, an order and a partition decide on a value and are not seen in it. A name without its table is taken
    for a column of each.
    """
    found: _Found = {}
    for scope in traverse_scope(query):
        node = scope.expression
        if isinstance(node, exp.SetOperation):
            left, right = (found[id(side.unnest())] for side in (node.left, node.right))
            found[id(node)] = [(name, one | other) for (name, one), (_, other) in zip(left, right, strict=True)]
        elif isinstance(node, exp.Query):
            found[id(node)] = [
                (column.alias_or_name, frozenset(_seen(column.unalias(), scope, found))) for column in node.selects
            ]
    return dict(found[id(query)])


def _seen(node: object, scope: Scope, found: _Found) -> Iterator[tuple[str, str]]:
    if isinstance(node, exp.Column):
        yield from _of_column(node, scope, found)
    elif isinstance(node, exp.Query):
        for _, seen in found[id(node.unnest())]:
            yield from seen
    elif isinstance(node, exp.Expression) and not _hides(node):
        for child in _parts(node):
            yield from _seen(child, scope, found)


def _of_column(column: exp.Column, scope: Scope, found: _Found) -> Iterator[tuple[str, str]]:
    named = scope.sources.get(column.table)
    for source in [named] if named else scope.sources.values():
        if isinstance(source, Scope):
            yield from dict(found[id(source.expression)]).get(column.name, ())
        elif isinstance(source, exp.Table):
            yield f"{source.db}.{source.name}", column.name


def _parts(node: exp.Expression) -> Iterable[object]:
    if isinstance(node, exp.Case):
        return (*(condition.args["true"] for condition in node.args["ifs"]), node.args.get("default"))
    return [node.this] if isinstance(node, exp.Window) else node.iter_expressions()


def _hides(node: exp.Expression) -> bool:
    return isinstance(node, _HIDING) or (isinstance(node, exp.Anonymous) and node.name.lower() in _HIDING_MACROS)
