"""One file per source, `include/sources/<source>.yaml`: where it is, its format and its mapping to a contract."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import duckdb
from pydantic import BeforeValidator, Field

from perennial.contracts import Contract, contract_names, load_contract
from perennial.foundation.documents import Document, read_document
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.sources.functions import add_functions
from perennial.sources.phone import country_of


class Expression(Document):
    """A DuckDB SQL expression over the source's columns, which are all text."""

    sql: str = Field(min_length=1, max_length=4000)


class Csv(Document):
    """How a CSV file is framed. `header` names the columns of files that have no header line."""

    delimiter: str = ","
    header: tuple[str, ...] | None = None


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
"""One name, or alternatives of which the first that a file has is used."""


_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def _as_duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    written = re.fullmatch("([0-9]{1,5}) ?(s|min|h|d)", str(value))
    if not written:
        raise ValueError("is no duration such as 30min, 1h or 2d")
    return timedelta(**{_UNITS[written[2]]: int(written[1])})


def _as_overlap(value: object) -> object:
    if type(value) is int and value >= 0:
        return value
    try:
        return _as_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}, and no whole number") from None


Duration = Annotated[timedelta, BeforeValidator(_as_duration)]
Overlap = Annotated[timedelta | int, BeforeValidator(_as_overlap)]


class Database(Document):
    """
    Rows of a database: of a table or of a query, all of them or what `cursor` tells to be new.

    It is one that a `connection` leads to, or one of `files`, which a DuckDB query joins.
    """

    connection: str | None = Field(None, pattern="^[a-z][a-z0-9_]*$", description="A name of Settings.connections.")
    files: dict[str, str] = Field(
        default_factory=dict, description="What the query calls a table, and its CSV files below the inbox, a pattern."
    )
    table: str | None = Field(None, pattern="^([^.]+[.])?[^.]+$", description="Its name, maybe after its schema's.")
    query: str | None = Field(None, min_length=1)
    key: Names = Field(min_length=1, description="Columns that tell rows apart: the order of a pull is total by them.")
    cursor: str | None = Field(None, description="A time or number that grows whenever a row comes or changes.")
    overlap: Overlap | None = Field(None, description="How much later than others a row may be committed.")


_PAGING = {"page", "per_page", "offset", "order", "orderby", "after", "modified_after", "dates_are_gmt", "_fields"}


class WooCommerce(Document):
    """A collection of a WooCommerce shop (wc/v3), all of it or what has changed."""

    connection: str = Field(pattern="^[a-z][a-z0-9_]*$", description="A name of Settings.connections.")
    resource: str = Field(pattern="^[a-z][a-z0-9_/-]*$", description="The collection, such as orders or customers.")
    overlap: Duration = Field(timedelta(hours=1), description="How much later than others a change may be stored.")
    parameters: dict[str, str | int] = Field(
        default_factory=dict, description="What the collection may be asked for besides: {role: all}."
    )


class _SourceFile(Document):
    source: str
    contract: str
    path: str | None = Field(None, max_length=255, description="Files below the inbox, a pattern.")
    url: str | None = Field(None, description="Files in object storage, a pattern with its protocol.")
    database: Database | None = None
    woocommerce: WooCommerce | None = None
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="How to reach the storage of `url`: what fsspec takes, nothing secret."
    )
    format: Literal["csv", "json", "jsonl", "parquet"]
    each: str | None = Field(None, min_length=1, description="An array of each JSON object: its elements are the rows.")
    csv: Csv = Csv()
    encodings: tuple[str, ...] = Field(("utf-8",), min_length=1)
    timezone: str | None = None
    country: str | None = Field(None, pattern="^[A-Z]{2}$", description="Of phone numbers without a country code.")
    formats: dict[str, Names] = Field(default_factory=dict)
    columns: dict[str, Expression | Names]
    deleted: Expression | Names | None = Field(
        None, description="What is true for a row that says that what its key names is no more."
    )
    max_refused: float = Field(0.2, ge=0, le=1)
    identical_rows: Literal["rows", "duplicates"] = Field(
        "rows", description="What rows of one file are that say the same and have no number."
    )
    known_forms: dict[str, Names] = Field(
        default_factory=dict, description="Forms that values of a column may have from now on, beside those they had."
    )
    stale_after: int | None = Field(
        None, ge=0, description="Days that its newest row may be older than the day, before that is told."
    )
    usual_from: date | None = Field(None, description="What came before this day is no measure of what is usual.")
    required: bool = False


@dataclass(frozen=True)
class Mapping:
    """Where one contract column comes from: an expression, or the first of `names` that a file has."""

    names: tuple[str, ...]  # for an expression: every source column it reads
    sql: str | None = None

    def missing_from(self, header: tuple[str, ...]) -> tuple[str, ...]:
        """The source columns a file with this header lacks for it; names are compared without case."""
        present = {name.lower() for name in header}
        absent = tuple(name for name in self.names if name.lower() not in present)
        return absent if self.sql or len(absent) == len(self.names) else ()


@dataclass(frozen=True)
class Source:
    """One source, checked against its contract. Where it is: a `path` in the inbox, a `url`, a database or a shop."""

    name: str
    file: Path
    path: str
    url: str
    contract: Contract
    format: Literal["csv", "json", "jsonl", "parquet"]
    delimiter: str
    header: tuple[str, ...] | None
    encodings: tuple[str, ...]
    timezone: str
    country: str
    max_refused: float
    repeats_are_duplicates: bool
    required: bool
    each: str = ""
    stale_after: int | None = None
    usual_from: date | None = None
    database: Database | None = None
    woocommerce: WooCommerce | None = None
    options: dict[str, str | int | float | bool] = field(default_factory=dict)
    formats: dict[str, tuple[str, ...]] = field(default_factory=dict)
    known_forms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    columns: dict[str, Mapping] = field(default_factory=dict)
    deleted: Mapping | None = None

    @property
    def is_json(self) -> bool:
        return self.format in ("json", "jsonl")

    @property
    def names_read(self) -> tuple[str, ...]:
        """Every source column that something is read from."""
        mappings = [*self.columns.values(), *filter(None, [self.deleted])]
        return tuple(name for mapping in mappings for name in mapping.names)


def source_names(settings: Settings) -> list[str]:
    """The names of all sources, sorted; reads no file."""
    return sorted(path.stem for path in settings.files.whole("sources").glob("*.yaml"))


def load_sources(settings: Settings) -> dict[str, Source]:
    """Every source by name. Raises BadConfig naming file, field and value."""
    return {name: load_source(name, settings) for name in source_names(settings)}


def load_source(name: str, settings: Settings) -> Source:
    """The source `name`. Raises BadConfig naming file, field and value."""
    path = settings.files.whole("sources") / f"{name}.yaml"
    written = read_document(path, _SourceFile)
    known = contract_names(settings)
    if written.contract not in known:
        raise BadConfig(
            f"{path}: field contract: no such contract {written.contract!r}. Known contracts: {', '.join(known)}."
        )
    contract = load_contract(written.contract, settings)
    columns = {column: _mapping(path, column, source) for column, source in written.columns.items()}
    problems = [*_problems(name, written, contract), *_each_problems(written, columns.values())]
    if problems:
        raise BadConfig("\n".join(f"{path}: {problem}" for problem in problems))
    timezone = written.timezone or settings.timezone
    return Source(
        name=name,
        file=path,
        path=written.path or "",
        url=written.url or "",
        database=written.database,
        woocommerce=written.woocommerce,
        options=dict(written.options),
        contract=contract,
        format=written.format,
        delimiter=written.csv.delimiter,
        header=written.csv.header,
        encodings=written.encodings,
        timezone=timezone,
        country=written.country or country_of(ZoneInfo(timezone)),
        max_refused=written.max_refused,
        repeats_are_duplicates=written.identical_rows == "duplicates",
        required=written.required,
        each=written.each or "",
        stale_after=written.stale_after,
        usual_from=written.usual_from,
        formats=dict(written.formats),
        known_forms=dict(written.known_forms),
        columns=columns,
        deleted=_mapping(path, "deleted", written.deleted) if written.deleted else None,
    )


def _problems(name: str, written: _SourceFile, contract: Contract) -> Iterator[str]:
    if written.source != name:
        yield f"field source: {written.source!r} must be the name of the file, {name!r}."
    for column in written.columns:
        if column not in contract.columns:
            known = ", ".join(contract.columns)
            yield f"field columns.{column}: contract {contract.name} has no column {column!r}. It has: {known}."
    for column in contract.required:
        if column not in written.columns:
            yield f"field columns.{column}: is missing, and contract {contract.name} requires it."
    for column in written.formats:
        kind = contract.columns[column].type if column in contract.columns else "unknown"
        if kind not in ("date", "timestamp") or column not in written.columns:
            yield f"field formats.{column}: a format is for a mapped date or timestamp column; {column!r} is not."
    for column in written.known_forms:
        if column not in written.columns:
            yield f"field known_forms.{column}: {column!r} is not a mapped column."
    yield from _place_problems(written)
    yield from _file_problems(written)


def _place_problems(written: _SourceFile) -> Iterator[str]:
    if sum(map(bool, (written.path, written.url, written.database, written.woocommerce))) != 1:
        yield "field path: say where the rows are, by path, url, database or woocommerce, and only by one of them."
    yield from _pattern_problems("path", written.path or "")
    if written.url and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^@]+", written.url):
        yield f"field url: {written.url!r} is no URL such as s3://bucket/exports/*.csv (without user and password)."
    for option in written.options:
        if re.search("secret|token|password|key", option, re.IGNORECASE):
            yield f"field options.{option}: no secrets in a source file: use the environment of the storage."
    if written.database:
        yield from _database_problems(written.database, written.format)
    if written.database and written.database.files:
        yield from _joined_problems(written.database, written.csv)
    if written.woocommerce:
        yield from _woocommerce_problems(written.woocommerce, written.format)


def _pattern_problems(field_: str, pattern: str) -> Iterator[str]:
    parts = PurePosixPath(pattern)
    if parts.is_absolute() or ".." in parts.parts:
        yield f"field {field_}: {pattern!r} must stay below the inbox."
    if any("**" in part and part != "**" for part in parts.parts):
        yield f"field {field_}: {pattern!r} has ** beside other letters: it stands for folders, */ for one of them."


def _database_problems(database: Database, format_: str) -> Iterator[str]:
    if bool(database.connection) == bool(database.files):
        yield "field database.connection: say where the rows are, by connection or by files, and not by both."
    if bool(database.table) == bool(database.query):
        yield "field database.table: say which rows, by table or by query, and not by both."
    if database.overlap is not None and not database.cursor:
        yield f"field database.overlap: {database.overlap} is of no use without a cursor."
    if format_ != "jsonl":
        yield f"field format: {format_!r} must be 'jsonl': so are the rows of a database kept."


def _joined_problems(database: Database, csv: Csv) -> Iterator[str]:
    for name, pattern in database.files.items():
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            yield f"field database.files: {name!r} is no name for a table, such as order_items."
        if not pattern:
            yield f"field database.files.{name}: {pattern!r} names no files."
        yield from _pattern_problems(f"database.files.{name}", pattern)
    if csv.header:
        yield "field csv.header: files that are joined have their own."
    if not database.query:
        yield f"field database.table: {database.table!r} must be a query: files are joined by one."
        return
    try:
        with duckdb.connect() as connection:
            statements = connection.extract_statements(database.query)
        is_select = [statement.type for statement in statements] == [duckdb.StatementType.SELECT]
        problem = "" if is_select else "it is not one SELECT"
    except duckdb.Error as error:
        problem = str(error).split("\n", 1)[0]
    if problem:
        yield f"field database.query: cannot be used: {problem}."


def _woocommerce_problems(shop: WooCommerce, format_: str) -> Iterator[str]:
    for name in shop.parameters:
        if name in _PAGING:
            yield f"field woocommerce.parameters.{name}: is what a pull goes on by, and not to be set."
        elif re.search("secret|token|password|key", name, re.IGNORECASE):
            yield f"field woocommerce.parameters.{name}: no secrets in a source file: the connection has them."
    if format_ != "json":
        yield f"field format: {format_!r} must be 'json': so are the pages of a shop kept."


def _file_problems(written: _SourceFile) -> Iterator[str]:
    if written.csv.delimiter != "whitespace" and len(written.csv.delimiter) != 1:
        yield f"field csv.delimiter: {written.csv.delimiter!r} is neither one character nor 'whitespace'."
    for encoding in written.encodings:
        try:
            "".encode(encoding)
        except (LookupError, ValueError):
            yield f"field encodings: {encoding!r} is not a known encoding of text."
    if written.timezone:
        try:
            ZoneInfo(written.timezone)
        except (ValueError, KeyError, OSError):
            yield f"field timezone: {written.timezone!r} is not an IANA time zone such as Europe/Berlin."


def _each_problems(written: _SourceFile, columns: Iterable[Mapping]) -> Iterator[str]:
    if written.each and written.format not in ("json", "jsonl"):
        yield f"field each: {written.each!r} is for json and jsonl; files of {written.format} have no arrays."
    elif written.each and not any(written.each in mapping.names for mapping in columns):
        yield f"field each: no column is read from {written.each!r}, so its elements would only repeat a row."


def _mapping(path: Path, column: str, written: Expression | tuple[str, ...]) -> Mapping:
    if isinstance(written, Expression):
        try:
            return Mapping(_columns_read(written.sql), written.sql)
        except (duckdb.Error, ValueError) as error:
            reason = str(error).split("\n", 1)[0]
            raise BadConfig(f"{path}: field columns.{column}.sql: {written.sql!r} cannot be used: {reason}") from error
    return Mapping(tuple(name.strip() for name in written))


@cache  # a run reads its sources more than once, and each expression takes a database
def _columns_read(sql: str) -> tuple[str, ...]:
    """
    The columns an expression reads, after binding it to a table of text columns with exactly these.

    Raises duckdb.Error or ValueError if it is not one expression with one value per row.
    """
    with duckdb.connect(config={"enable_external_access": False, "lock_configuration": True}) as connection:
        # The line breaks keep a comment at the end of the expression from hiding what follows it.
        statement = f"select (\n{sql}\n) from source"
        row = connection.execute("select json_serialize_sql($sql::varchar)", {"sql": statement}).fetchone()
        tree: dict[str, Any] = json.loads(row[0]) if row else {"error": True, "error_message": "nothing to read"}
        if tree["error"]:
            raise ValueError(tree["error_message"])
        select: dict[str, Any] = tree["statements"][0]["node"]
        plain: dict[str, Any] = {
            "where_clause": None,
            "having": None,
            "qualify": None,
            "group_expressions": [],
            "modifiers": [],
        }
        whole = (
            len(tree["statements"]) == 1
            and len(select.get("select_list", ())) == 1
            and select["from_table"].get("table_name") == "source"
            and all(select.get(part) == value for part, value in plain.items())
        )
        if not whole:
            raise ValueError("it is not one expression")
        names: dict[str, str] = {}
        _collect(select["select_list"][0], frozenset(), names)
        columns = ", ".join(f"{quoted(name)} varchar" for name in names.values())
        connection.execute(f"create table source (_row bigint{', ' if columns else ''}{columns})")
        add_functions(connection)
        # Beside a plain column an aggregate does not bind: every row keeps its own value.
        connection.execute(f"select _row, (\n{sql}\n)::varchar from source")
    return tuple(names.values())


def _collect(node: Any, bound: frozenset[str], names: dict[str, str]) -> None:
    """Gather column names below a node of DuckDB's syntax tree, lambda parameters aside."""
    if isinstance(node, list):
        for part in node:
            _collect(part, bound, names)
    elif isinstance(node, dict):
        kind = node.get("class")
        if kind == "SUBQUERY":
            raise ValueError("subqueries are not allowed")
        if kind == "WINDOW":
            raise ValueError("window functions are not allowed")
        if kind == "LAMBDA":
            parameters: dict[str, str] = {}
            _collect(node["lhs"], frozenset(), parameters)
            _collect(node["expr"], bound | parameters.keys(), names)
        elif kind == "COLUMN_REF":
            name = node["column_names"][-1]
            if name.lower() not in bound:
                names.setdefault(name.lower(), name)
        else:
            for part in node.values():
                _collect(part, bound, names)


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
