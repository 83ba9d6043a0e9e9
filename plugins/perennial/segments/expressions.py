"""
A marketer's condition, parsed and never pasted: `churn_risk = 'high' and net_revenue > 50`.

Default deny. The text becomes a syntax tree, every node type and every option of it must be listed here, types must
match, and the SQL is written anew from the tree, in the portable subset. What a condition may say is in ALLOWED.
"""

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal, NoReturn

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from perennial.foundation.errors import BadConfig

Family = Literal["text", "number", "date", "boolean", "list"]

MAX_LENGTH = 1000
MAX_LIST = 200
ALLOWED = (
    "columns, numbers, 'text', date '2026-01-31', true, false; = <> < <= > >=, between, in (…), like, is [not] null, "
    "is [not] true, and, or, not, + - *; lower(), upper(), length(), coalesce(), "
    "days_since(date column), has(list column, 'item'), in_segment('name')"
)

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
_TEXT_FUNCTIONS: dict[type[exp.Expr], tuple[str, Family]] = {
    exp.Lower: ("lower", "text"),
    exp.Upper: ("upper", "text"),
    exp.Length: ("length", "number"),
}
# Every node type that may appear, with the arguments it may carry; an argument not listed must be empty.
_NODES: dict[type[exp.Expr], tuple[str, ...]] = {
    **dict.fromkeys((exp.And, exp.Or, *_COMPARISONS, *_ARITHMETIC, exp.Is), ("this", "expression")),
    **dict.fromkeys((exp.Not, exp.Paren, exp.Neg, exp.Column, exp.Boolean, *_TEXT_FUNCTIONS), ("this",)),
    exp.Like: ("this", "expression", "negate"),
    exp.Null: (),
    exp.Literal: ("this", "is_string"),
    exp.Between: ("this", "low", "high"),
    exp.In: ("this", "expressions"),
    exp.Coalesce: ("this", "expressions"),
    exp.Cast: ("this", "to"),
    exp.Anonymous: ("this", "expressions"),
}
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,6})?")
_ITEM = re.compile(r"[\w &'-]{1,60}")


@dataclass(frozen=True)
class Condition:
    """
    A checked boolean expression over the columns of one row.

    `sql` is portable SQL in the DuckDB dialect; it names columns unqualified, so it belongs into the `where` of a
    select from one table that has them and `customer_id`. It reads the parameter `$day` if days_since() is used, and
    `segments.membership` if in_segment() is.
    """

    text: str
    sql: str
    columns: frozenset[str]
    segments: frozenset[str]


def parse_condition(text: str, columns: Mapping[str, str], segments: Collection[str] = ()) -> Condition:
    """
    Parse and check one condition.

    `columns` maps each column that may be used to its family: text, number, date, boolean, or list (items in one
    text, separated by commas). `segments` are the names in_segment() may use.

    Raises BadConfig with the condition, the position of the problem in it and what is allowed.
    """
    return _parse(text, tuple(columns.items()), tuple(segments))


@lru_cache(maxsize=1024)  # each step of a day asks for those of all segments
def _parse(text: str, columns: tuple[tuple[str, str], ...], segments: tuple[str, ...]) -> Condition:
    reader = _Reader(text, dict(columns), segments)
    sql = reader.read()
    return Condition(text, sql, frozenset(reader.used_columns), frozenset(reader.used_segments))


class _Reader:
    """Checks one tree and writes its SQL: conditions (true or false) and the values they are about."""

    def __init__(self, text: str, columns: Mapping[str, str], segments: Collection[str]) -> None:
        self.text, self.columns, self.segments = text, columns, segments
        self.used_columns: set[str] = set()
        self.used_segments: set[str] = set()

    def read(self) -> str:
        if len(self.text) > MAX_LENGTH:
            self._refuse(f"it has {len(self.text)} characters; at most {MAX_LENGTH} are allowed")
        if control := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", self.text):
            self._refuse("control characters are not allowed", position=control.start())
        try:
            return self._condition(self._parsed())
        except RecursionError as error:
            raise BadConfig(f"Condition {self._shown()}: it is nested too deeply. Allowed: {ALLOWED}.") from error

    def _parsed(self) -> exp.Expr:
        try:
            tree = parse_one(self.text, into=exp.Condition, dialect="duckdb")
        except SqlglotError as error:
            details = getattr(error, "errors", None) or [{}]
            found = details[0].get("highlight")
            about = f", near {found!r}" if found else ""
            raise BadConfig(f"Condition {self._shown()} cannot be read{about}. Allowed: {ALLOWED}.") from error
        except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:  # SQLGlot's own slips
            raise BadConfig(f"Condition {self._shown()} cannot be read. Allowed: {ALLOWED}.") from error
        for node in tree.walk():
            if node.comments:
                self._refuse("comments are not allowed", node)
        return tree

    def _condition(self, node: exp.Expr) -> str:
        """SQL of a node that must be true or false."""
        self._admit(node)
        write = _CONDITIONS.get(self._kind(node))
        return write(self, node) if write else self._typed("boolean", node)

    def _value(self, node: exp.Expr) -> tuple[Family, str]:
        """Family and SQL of a node that is a value."""
        self._admit(node)
        write = _VALUES.get(self._kind(node))
        return write(self, node) if write else self._refuse(f"{self._excerpt(node)} is not a value", node)

    def _typed(self, family: Family, node: exp.Expr) -> str:
        found, sql = self._value(node)
        if found != family:
            hint = " (a date is written date '2026-01-31')" if (family, found) == ("date", "text") else ""
            self._refuse(f"{self._excerpt(node)} is a {found} where a {family} is needed{hint}", node)
        return sql

    @staticmethod
    def _kind(node: exp.Expr) -> type[exp.Expr] | str:
        """What the tables below are keyed by: the node's type, or the name of a function SQLGlot does not know."""
        return node.name.lower() if isinstance(node, exp.Anonymous) else type(node)

    # Conditions.

    def _connected(self, node: exp.Expr) -> str:
        word = "and" if isinstance(node, exp.And) else "or"
        return f"{self._condition(node.this)} {word} {self._condition(node.expression)}"

    def _not(self, node: exp.Expr) -> str:
        return f"not {self._condition(node.this)}"

    def _bracketed(self, node: exp.Expr) -> str:
        return f"({self._condition(node.this)})"

    def _comparison(self, node: exp.Expr) -> str:
        family, left = self._value(node.this)
        if family == "list":
            self._refuse("a list is asked with has(column, 'item')", node)
        if family == "boolean" and not isinstance(node, exp.EQ | exp.NEQ):
            self._refuse("a boolean has no order", node)
        return f"{left} {_COMPARISONS[type(node)]} {self._typed(family, node.expression)}"

    def _between(self, node: exp.Expr) -> str:
        family, value = self._value(node.this)
        if family in ("boolean", "list"):
            self._refuse(f"a {family} has no order", node)
        low, high = (self._typed(family, node.args[end]) for end in ("low", "high"))
        return f"{value} between {low} and {high}"

    def _in(self, node: exp.Expr) -> str:
        if not 1 <= len(node.expressions) <= MAX_LIST:
            self._refuse(f"`in` needs a list of 1 to {MAX_LIST} literals in parentheses", node)
        family, value = self._value(node.this)
        if family in ("boolean", "list"):
            self._refuse(f"`in` cannot be asked of a {family}", node)
        for item in node.expressions:
            if not isinstance(item.this if isinstance(item, exp.Neg) else item, exp.Literal | exp.Cast):
                self._refuse("`in` lists hold literals only", item)
        return f"{value} in ({', '.join(self._typed(family, item) for item in node.expressions)})"

    def _like(self, node: exp.Expr) -> str:
        word = "not like" if node.args.get("negate") else "like"
        return f"{self._typed('text', node.this)} {word} {self._quoted(node.expression)}"

    def _is(self, node: exp.Expr) -> str:
        self._admit(node.expression)
        if isinstance(node.expression, exp.Null):
            return f"{self._value(node.this)[1]} is null"
        if not isinstance(node.expression, exp.Boolean):
            self._refuse("`is` goes with null, true or false", node)
        return f"{self._typed('boolean', node.this)} is {str(node.expression.this).lower()}"

    def _in_segment(self, node: exp.Expr) -> str:
        (argument,) = self._arguments(node, 1, "one segment name in quotes")
        self._quoted(argument)
        if (name := argument.name) not in self.segments:
            known = f"Known segments: {', '.join(sorted(self.segments))}" if self.segments else "None can be named here"
            self._refuse(f"unknown segment {name!r}. {known}", node)
        self.used_segments.add(name)
        members = f"select membership.customer_id from segments.membership where membership.segment = '{name}'"
        return f"customer_id in ({members})"

    def _has(self, node: exp.Expr) -> str:
        column, item = self._arguments(node, 2, "a list column and an item in quotes")
        items = f"(',' || lower(coalesce({self._typed('list', column)}, '')) || ',')"
        self._quoted(item)
        if not _ITEM.fullmatch(item.name):
            self._refuse("an item has 1 to 60 letters, digits, blanks or _ & ' -", item)
        wanted = item.name.strip().lower().replace("'", "''")
        return f"({items} like '%,{wanted},%' or {items} like '%, {wanted},%')"

    # Values.

    def _column(self, node: exp.Expr) -> tuple[Family, str]:
        name = node.name
        if name not in self.columns or node.this.args.get("quoted"):
            near = difflib.get_close_matches(name.lower(), self.columns, n=1)
            hint = f". Did you mean {near[0]}?" if near else f". Known columns: {', '.join(self.columns)}"
            self._refuse(f"unknown column {name!r}{hint}", node)
        self.used_columns.add(name)
        return self.columns[name], name  # type: ignore[return-value]

    def _literal(self, node: exp.Expr) -> tuple[Family, str]:
        if node.args["is_string"]:
            return "text", self._quoted(node)
        if not _NUMBER.fullmatch(node.name):
            self._refuse("numbers have at most 9 digits before and 6 after the point", node)
        return "number", node.name

    def _boolean(self, node: exp.Expr) -> tuple[Family, str]:
        return "boolean", str(node.this).lower()

    def _date(self, node: exp.Expr) -> tuple[Family, str]:
        literal = node.this
        if not (node.args["to"].this is exp.DType.DATE and isinstance(literal, exp.Literal) and literal.is_string):
            self._refuse("there are no casts; a date is written date '2026-01-31'", node)
        try:
            return "date", f"date '{date.fromisoformat(literal.name).isoformat()}'"
        except ValueError:
            self._refuse(f"{literal.name!r} is not a date such as date '2026-01-31'", node)

    def _grouped(self, node: exp.Expr) -> tuple[Family, str]:
        family, value = self._value(node.this)
        return family, f"({value})"

    def _negative(self, node: exp.Expr) -> tuple[Family, str]:
        return "number", f"(-{self._typed('number', node.this)})"

    def _arithmetic(self, node: exp.Expr) -> tuple[Family, str]:
        left, right = (self._typed("number", side) for side in (node.this, node.expression))
        return "number", f"{left} {_ARITHMETIC[type(node)]} {right}"

    def _text_function(self, node: exp.Expr) -> tuple[Family, str]:
        name, family = _TEXT_FUNCTIONS[type(node)]
        return family, f"{name}({self._typed('text', node.this)})"

    def _coalesce(self, node: exp.Expr) -> tuple[Family, str]:
        family, first = self._value(node.this)
        return family, f"coalesce({', '.join([first, *(self._typed(family, other) for other in node.expressions)])})"

    def _days_since(self, node: exp.Expr) -> tuple[Family, str]:
        (argument,) = self._arguments(node, 1, "one date column")
        return "number", f"date_diff('day', {self._typed('date', argument)}, $day)"

    # Both.

    def _arguments(self, node: exp.Expr, count: int, what: str) -> Sequence[exp.Expr]:
        if len(node.expressions) != count:
            self._refuse(f"{node.name.lower()}() takes {what}", node)
        return node.expressions

    def _quoted(self, node: exp.Expr) -> str:
        self._admit(node)
        if not (isinstance(node, exp.Literal) and node.is_string):
            self._refuse(f"{self._excerpt(node)} must be a text in quotes", node)
        return "'" + node.name.replace("'", "''") + "'"

    def _admit(self, node: exp.Expr) -> None:
        allowed = _NODES.get(type(node))
        if allowed is None:
            self._refuse(f"{self._excerpt(node)} ({type(node).__name__.lower()}) is not allowed", node)
        for name, argument in node.args.items():
            if name not in allowed and argument not in (None, False, []):
                self._refuse(f"{self._excerpt(node)} is not allowed in this form", node)
        if isinstance(node, exp.Anonymous) and not {self._kind(node)} & (_CONDITIONS.keys() | _VALUES.keys()):
            self._refuse(f"function {node.name.lower()}() is not allowed", node)

    def _excerpt(self, node: exp.Expr) -> str:
        written = node.sql("duckdb", comments=False)
        return repr(written if len(written) <= 60 else written[:60] + "…")

    def _shown(self) -> str:
        return repr(self.text if len(self.text) <= 200 else self.text[:200] + "…")

    def _refuse(self, problem: str, node: exp.Expr | None = None, position: int | None = None) -> NoReturn:
        if node is not None:
            position = min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=None)
        where = "" if position is None else f" near character {position + 1}"
        raise BadConfig(f"Condition {self._shown()}{where}: {problem}. Allowed: {ALLOWED}.")


_CONDITIONS: dict[type[exp.Expr] | str, Callable[[_Reader, exp.Expr], str]] = {
    **dict.fromkeys((exp.And, exp.Or), _Reader._connected),
    **dict.fromkeys(_COMPARISONS, _Reader._comparison),
    exp.Not: _Reader._not,
    exp.Paren: _Reader._bracketed,
    exp.Between: _Reader._between,
    exp.In: _Reader._in,
    exp.Like: _Reader._like,
    exp.Is: _Reader._is,
    "in_segment": _Reader._in_segment,
    "has": _Reader._has,
}
_VALUES: dict[type[exp.Expr] | str, Callable[[_Reader, exp.Expr], tuple[Family, str]]] = {
    exp.Column: _Reader._column,
    exp.Literal: _Reader._literal,
    exp.Boolean: _Reader._boolean,
    exp.Cast: _Reader._date,
    exp.Paren: _Reader._grouped,
    exp.Neg: _Reader._negative,
    **dict.fromkeys(_ARITHMETIC, _Reader._arithmetic),
    **dict.fromkeys(_TEXT_FUNCTIONS, _Reader._text_function),
    exp.Coalesce: _Reader._coalesce,
    "days_since": _Reader._days_since,
}
