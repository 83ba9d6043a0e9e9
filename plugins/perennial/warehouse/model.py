"""
A model: one table, declared by one SQL file `include/sql/<schema>/<table>.sql`.

The file is one SELECT in DuckDB SQL under a header:

    -- What each customer did on each day. One row per customer per day.
    -- grain:   customer_id, day
    -- refresh: replace_days
    -- keys:    days = day, customers = customer_id
    -- pii:     none

`grain` is the unique key, checked before a build is let in. `refresh` is one of

- `rebuild`: the whole table anew;
- `replace_<keys>`: only the rows whose key is *touched*, see `materialize`; `replace_orders via identities, skus` also
  touches the orders of touched identities and of touched skus;
- `history`: only the rows of `$day`; what earlier days said is kept;
- `connect <keys>, <keys>`: the SELECT gives pairs, its first two columns, and the table has one row for each identifier
  that is paired with itself, in which the second column is the smallest identifier that a chain of pairs connects with
  it. Made anew are the chains of the identifiers touched in these sets.

`keys` names the columns by which rows can be picked and which touched sets a change of the table feeds. `pii` names
the columns in which personal data can be seen; `not age` says of one that is made of such data that it shows none of
them. A comment
behind a column of the last SELECT documents it. `$day` is the business day; there are no other parameters.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from perennial.foundation.errors import BadConfig
from perennial.warehouse.lineage import Origins, origins
from perennial.warehouse.lint import lint

DIALECT = "duckdb"
_HEADER_FIELDS = ("grain", "refresh", "keys", "pii")
_REFRESH = re.compile(
    r"rebuild|history|connect (?P<pairs>[a-z_]+(?:, [a-z_]+)*)"
    r"|replace_(?P<key>[a-z_]+?)(?: via (?P<via>[a-z_]+(?:, [a-z_]+)*))?"
)


@dataclass(frozen=True)
class Model:
    """One table and how it is made."""

    table: str  # schema.table
    path: Path
    sentence: str
    grain: tuple[str, ...]
    refresh: str
    keys: Mapping[str, str]
    pii: tuple[str, ...]
    not_personal: tuple[str, ...]
    query: exp.Query = field(repr=False, compare=False)

    @property
    def schema(self) -> str:
        return self.table.partition(".")[0]

    @property
    def replaces(self) -> str | None:
        """The touched set by which the table is refreshed, for `replace_…` models."""
        match = _REFRESH.fullmatch(self.refresh)
        return match["key"] if match else None

    @property
    def via(self) -> tuple[str, ...]:
        """The touched sets by which rows of its inputs are touched too."""
        match = _REFRESH.fullmatch(self.refresh)
        return _names(match["via"] or "") if match else ()

    @property
    def connects(self) -> tuple[str, ...]:
        """The touched sets of the identifiers whose chains are made anew, for a `connect` model."""
        match = _REFRESH.fullmatch(self.refresh)
        return _names(match["pairs"] or "") if match else ()

    @cached_property
    def columns(self) -> dict[str, str]:
        """Column name -> its documentation, in order."""
        return {
            column.alias_or_name: " ".join(comment.strip() for comment in _comments(column))
            for column in self.query.selects
        }

    @cached_property
    def depends_on(self) -> frozenset[str]:
        """The tables it reads, itself left out (a history may read what it said before)."""
        names = {
            f"{source.db}.{source.name}"
            for scope in traverse_scope(self.query)
            for source in scope.sources.values()
            if isinstance(source, exp.Table)
        }
        return frozenset(names - {self.table})

    @cached_property
    def origins(self) -> Origins:
        """Column -> the (table, column) whose values can be seen in it."""
        return origins(self.query)

    @property
    def reads_itself(self) -> bool:
        """A history that looks at what it said on earlier days."""
        return any(f"{table.db}.{table.name}" == self.table for table in self.query.find_all(exp.Table))

    @property
    def cast_columns(self) -> dict[str, str]:
        """Column -> type, of the columns that the last SELECT casts: how a history that reads itself is first made."""
        return {
            column.alias_or_name: cast.to.sql(DIALECT)
            for column in self.query.selects
            if isinstance(cast := column.unalias(), exp.Cast)
        }

    @cached_property
    def fingerprint(self) -> str:
        """Changes with what the table would hold, not with comments or layout."""
        text = self.query.sql(DIALECT, comments=False) + self.refresh + repr(sorted(self.keys.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_models(
    files: Iterable[Path], written: Iterable[Model] = (), personal: Mapping[str, Collection[str]] = MappingProxyType({})
) -> dict[str, Model]:
    """
    Every model of the SQL `files` and those `written` by code, in an order in which each comes after what it reads.

    `personal` are the columns with personal data of tables that are no models. Raises BadConfig naming the file for a
    bad header, SQL outside the portable subset, an input whose changes would go unnoticed, personal data that `pii`
    does not tell, or a cycle.
    """
    models = [*(read_model(path) for path in sorted(files)), *written]
    by_table = {model.table: model for model in models}
    problems = [f"{model.path}: {problem}" for model in models for problem in _blind_spots(model, by_table)]
    if problems:
        raise BadConfig("\n".join(problems))
    sorter = TopologicalSorter({model.table: sorted(model.depends_on & by_table.keys()) for model in models})
    try:
        models = [by_table[table] for table in sorter.static_order()]
    except CycleError as error:
        raise BadConfig(f"These tables read each other in a circle: {' -> '.join(error.args[1])}.") from error
    problems = [
        f"{model.path}: {problem}" for model in models for problem in _personal_problems(model, by_table, personal)
    ]
    if problems:
        raise BadConfig("\n".join(problems))
    return {model.table: model for model in models}


def read_model(path: Path) -> Model:
    """One model file; raises BadConfig naming the file and what is wrong with it."""
    return _model(path, path.read_text(encoding="utf-8"))


@lru_cache(maxsize=512)  # a day asks for all models with each step, and reading them would be half of its time
def _model(path: Path, text: str) -> Model:
    sentence, header = _read_header(path, text)
    for name in ("grain", "refresh", "pii"):
        if name not in header:
            raise BadConfig(f"{path}: the header has no `{name}:` line.")
    pii = _names(header["pii"])
    model = Model(
        table=f"{path.parent.name}.{path.stem}",
        path=path,
        sentence=sentence,
        grain=_names(header["grain"]),
        refresh=header["refresh"],
        keys=dict(_key_pairs(path, header.get("keys", ""))),
        pii=tuple(name for name in pii if name != "none" and not name.startswith("not ")),
        not_personal=tuple(name.removeprefix("not ") for name in pii if name.startswith("not ")),
        query=_parse(path, text),
    )
    return _checked(model)


def _checked(model: Model) -> Model:
    problems = list(_problems(model))
    if problems:
        raise BadConfig("\n".join(f"{model.path}: {problem}" for problem in problems))
    return model


def written_model(
    table: str,
    sql: str,
    path: Path,
    sentence: str,
    grain: tuple[str, ...],
    keys: Mapping[str, str] | None = None,
    pii: tuple[str, ...] = (),
) -> Model:
    """A table whose SELECT is written from the file at `path`; refreshed by the first of its `keys`, if it has any."""
    return _written_model(table, sql, path, sentence, grain, tuple((keys or {}).items()), pii)


@lru_cache(maxsize=512)  # as those that are read: what it depends on is worked out once
def _written_model(
    table: str,
    sql: str,
    path: Path,
    sentence: str,
    grain: tuple[str, ...],
    keys: tuple[tuple[str, str], ...],
    pii: tuple[str, ...],
) -> Model:
    refresh = f"replace_{keys[0][0]}" if keys else "rebuild"
    return _checked(Model(table, path, sentence, grain, refresh, dict(keys), pii, (), _parse(path, sql)))


@lru_cache(maxsize=512)
def _parse(path: Path, text: str) -> exp.Query:
    try:
        statements = sqlglot.parse(text, read=DIALECT)
    except SqlglotError as error:
        raise BadConfig(f"{path}: not readable as SQL: {error}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise BadConfig(f"{path}: expected exactly one SELECT.")
    problems = list(lint(statements[0]))
    if problems:
        raise BadConfig("\n".join(f"{path}: {problem}" for problem in problems))
    return statements[0]


def _problems(model: Model) -> Iterator[str]:
    if not _REFRESH.fullmatch(model.refresh):
        yield f"refresh: {model.refresh!r} is not rebuild, history or replace_<keys>."
    if not model.grain:
        yield "grain: it names no column."
    if model.replaces and model.replaces not in model.keys:
        yield f"refresh: {model.refresh} needs `{model.replaces} = <column>` under keys."
    for name in (*model.grain, *model.keys.values(), *model.pii, *model.not_personal):
        if name not in model.columns:
            yield f"the header names {name!r}, which is not a column of the last select."
    if model.refresh == "history" and "day" not in model.grain:
        yield "a history needs `day` in its grain."
    if model.reads_itself and (model.refresh != "history" or list(model.cast_columns) != list(model.columns)):
        yield "only a history may read itself, and it casts every column it selects."
    undocumented = [name for name, comment in model.columns.items() if not comment]
    if model.schema == "marts" and undocumented:
        yield f"public columns without a comment: {', '.join(undocumented)}."


def _blind_spots(model: Model, by_table: Mapping[str, Model]) -> Iterator[str]:
    """Inputs of a `replace_…` table whose changes would not reach it."""
    if not model.replaces or model.schema == "staging":  # staging is touched from the raw rows themselves
        return
    noticed = (model.replaces, *model.via)
    keys = {table: set(by_table[table].keys) if table in by_table else set() for table in sorted(model.depends_on)}
    for table, found in keys.items():
        if not found & set(noticed) and not table.startswith("rules."):  # a changed rule book makes the table anew
            yield f"it reads {table}, which has no key {' or '.join(noticed)}: what changes there would go unnoticed."
    for key in noticed:
        if not any(key in found for found in keys.values()):
            yield f"refresh: no table that it reads has the key {key!r}."


def _personal_problems(
    model: Model, by_table: Mapping[str, Model], personal: Mapping[str, Collection[str]]
) -> Iterator[str]:
    for column, seen in model.origins.items():
        shown = [
            f"{table}.{name}"
            for table, name in sorted(seen)
            if table != model.table and name in (by_table[table].pii if table in by_table else personal.get(table, ()))
        ]
        if shown and column not in (*model.pii, *model.not_personal):
            yield (
                f"pii: {column} shows personal data, {', '.join(shown)}: name it, or say `not {column}` "
                "if nobody can be recognised by it."
            )
        if column in model.not_personal and not shown:
            yield f"pii: `not {column}`, and nothing personal is seen in it anyway."


def _read_header(path: Path, text: str) -> tuple[str, dict[str, str]]:
    sentence: list[str] = []
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        content = line.removeprefix("--").strip()
        name, colon, value = content.partition(":")
        if colon and name in _HEADER_FIELDS:
            if name in fields:
                raise BadConfig(f"{path}: the header has `{name}:` twice.")
            fields[name] = value.strip()
        elif not fields:
            sentence.append(content)
        elif content:
            raise BadConfig(f"{path}: header line {content!r} is none of {', '.join(_HEADER_FIELDS)}.")
    if not sentence:
        raise BadConfig(f"{path}: the file starts with no sentence that says what one row is.")
    return " ".join(sentence), fields


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _key_pairs(path: Path, text: str) -> Iterable[tuple[str, str]]:
    for pair in _names(text):
        key, equals, column = (part.strip() for part in pair.partition("="))
        if not equals:
            raise BadConfig(f"{path}: keys: {pair!r} is not of the form `<keys> = <column>`.")
        yield key, column


def _comments(column: exp.Expr) -> Iterable[str]:
    yield from column.comments or ()
    if isinstance(column, exp.Alias):
        yield from column.this.comments or ()
