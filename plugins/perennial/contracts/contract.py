"""One file per contract, `include/expectations/<contract>.yaml`: its columns, its key and its expectation suite."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from perennial.foundation.documents import Document, read_document
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

SQL_TYPES = {
    "text": "text",
    "phone": "text",
    "integer": "bigint",
    "number": "double",
    "quantity": "decimal(14,4)",
    "money": "decimal(12,2)",
    "price": "decimal(14,4)",
    "timestamp": "timestamptz",
    "date": "date",
    "boolean": "boolean",
    "json": "text",
}


_NAMES = ("customer_ref", "email", "phone", "loyalty_card", "device_id", "sku", "returns_order_id")
"""Columns by which rows of different contracts find each other."""

_NUMBERS = frozenset(("integer", "number", "quantity", "money", "price"))
_OF_A_MIX = _NUMBERS | {"text", "boolean"}


class Severity(StrEnum):
    """What a broken rule does: quarantine the row (or refuse the batch), warn, or only be counted."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Column(Document):
    """One column of a contract. Timestamps are UTC, each with a business date beside it; phone numbers are E.164."""

    type: Literal[
        "text", "phone", "integer", "number", "quantity", "money", "price", "timestamp", "date", "boolean", "json"
    ]
    required: bool = False
    identifies: bool = Field(default=False, description="Tells who it is: in another form it would be somebody else.")
    pii: bool = Field(default=False, description="Personal data: neither published nor kept in the landing for ever.")
    mix: bool = Field(default=False, description="Its values (a number's size) come in about the same shares.")
    refers_to: str | None = Field(
        default=None,
        pattern="^[a-z][a-z0-9_]*[.][a-z][a-z0-9_]*$",
        description="The contract and column that know its values.",
    )

    @property
    def sql_type(self) -> str:
        return SQL_TYPES[self.type]

    @property
    def is_number(self) -> bool:
        return self.type in _NUMBERS


Keeps = Literal["while_current", "always"]


class Expectation(Document):
    """A Great Expectations expectation with a name of ours and a severity."""

    rule: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = Field(default="", description="What it demands, where its type and arguments do not say it.")
    severity: Severity
    expect: str = Field(description="The type, such as expect_column_values_to_be_in_set.")
    kwargs: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Contract:
    """
    What rows of one kind look like and what must hold for them.

    `key` identifies a row. `numbered_by` is the column of the key that tells apart rows which otherwise share it and
    that many systems do not have; where it is null the row's content and its ordinal stand in. `dated_by` says when
    what the row tells happened: a run of an earlier day does not know it yet. `keeps_personal_data` says which rows the
    landing leaves as they came, however old: those in force, or all.
    """

    name: str
    path: Path
    description: str
    key: tuple[str, ...]
    numbered_by: str | None
    dated_by: str | None
    touches: dict[str, str]
    columns: dict[str, Column]
    expectations: tuple[Expectation, ...]
    keeps_personal_data: Keeps | None = None

    @property
    def personal(self) -> tuple[str, ...]:
        return tuple(name for name, column in self.columns.items() if column.pii)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(name for name, column in self.columns.items() if column.required)

    @property
    def naming(self) -> frozenset[str]:
        """The text columns that name somebody or something: tables are keyed by them."""
        named = {*self.key, *self.touches.values(), *_NAMES}
        return frozenset(
            name for name, column in self.columns.items() if name in named and column.type in ("text", "phone")
        )

    @property
    def references(self) -> dict[str, tuple[str, str]]:
        """The columns that refer to others -> contract and column that know their values."""
        referring = {name: column.refers_to for name, column in self.columns.items() if column.refers_to}
        return {name: _parted(target) for name, target in referring.items()}

    @property
    def date_columns(self) -> dict[str, str]:
        """The business date beside each timestamp: `ordered_date` → `ordered_at`."""
        return {
            name.removesuffix("_at") + "_date": name
            for name, column in self.columns.items()
            if column.type == "timestamp"
        }


class _ContractFile(Document):
    contract: str
    description: str
    key: tuple[str, ...] = Field(min_length=1)
    numbered_by: str | None = None
    dated_by: str | None = None
    touches: dict[str, str] = Field(min_length=1)
    keeps_personal_data: Keeps | None = None
    columns: dict[str, Column] = Field(min_length=1)
    expectations: tuple[Expectation, ...] = ()


def load_contract(name: str, settings: Settings) -> Contract:
    """
    The contract `name`; the presence of every required column is part of its expectations.

    Raises BadConfig naming the file, the field and the value.
    """
    path = settings.files.file("expectations", f"{name}.yaml")
    if not path.is_file():
        known = ", ".join(contract_names(settings)) or "none"
        raise BadConfig(f"{path}: no such contract {name!r}. Known contracts: {known}.")
    written = read_document(path, _ContractFile)
    problems = [*_problems(name, written), *_mix_problems(written), *_reference_problems(written, settings)]
    if problems:
        raise BadConfig("\n".join(f"{path}: {problem}" for problem in problems))
    present = tuple(_present(column) for column, definition in written.columns.items() if definition.required)
    return Contract(
        name=name,
        path=path,
        description=written.description,
        key=written.key,
        numbered_by=written.numbered_by,
        dated_by=written.dated_by,
        touches=dict(written.touches),
        columns=dict(written.columns),
        expectations=present + written.expectations,
        keeps_personal_data=written.keeps_personal_data,
    )


def contract_names(settings: Settings) -> list[str]:
    """The names of all contracts, sorted; reads no file."""
    return sorted(path.stem for path in settings.files.files("expectations", "*.yaml"))


def load_contracts(settings: Settings) -> dict[str, Contract]:
    """Every contract by name, in the order of the names. Raises BadConfig."""
    return {name: load_contract(name, settings) for name in contract_names(settings)}


def _parted(reference: str) -> tuple[str, str]:
    """Contract and column of `contract.column`."""
    contract, _, column = reference.partition(".")
    return contract, column


def _present(column: str) -> Expectation:
    """A required value is there. One that is there and cannot be read breaks the rule `readable` instead."""
    return Expectation(
        rule=f"{column}_present",
        description=f"{column} has a value.",
        severity=Severity.CRITICAL,
        expect="unexpected_rows_expectation",
        kwargs={
            "unexpected_rows_query": f"select _id from {{batch}} where {column} is null "
            f"and not list_contains(string_split(coalesce(_unreadable, ''), ', '), '{column}')"
        },
    )


def _problems(name: str, written: _ContractFile) -> Iterator[str]:
    if written.contract != name:
        yield f"field contract: {written.contract!r} must be the name of the file, {name!r}."
    for column in written.columns:
        if not column.isidentifier() or column != column.lower():
            yield f"field columns: {column!r} must be a lower-case name of letters, digits and underscores."
    for column in written.key:
        if column not in written.columns:
            yield f"field key: {column!r} is not a column of this contract."
    if written.numbered_by and written.numbered_by not in written.key:
        yield f"field numbered_by: {written.numbered_by!r} is not part of the key {list(written.key)}."
    if written.dated_by:
        dating = written.columns.get(written.dated_by)
        if dating is None or dating.type not in ("date", "timestamp"):
            yield f"field dated_by: {written.dated_by!r} is not a date or timestamp column of this contract."
    personal = [column for column in written.key if column in written.columns and written.columns[column].pii]
    if personal and written.keeps_personal_data != "always":
        yield f"field keeps_personal_data: must be 'always': the key names rows by the personal {', '.join(personal)}."
    yield from _expectation_problems(written)


def _mix_problems(written: _ContractFile) -> Iterator[str]:
    for column, definition in written.columns.items():
        if definition.mix and (definition.pii or definition.type not in _OF_A_MIX):
            what = "personal data" if definition.pii else f"of type {definition.type}"
            yield f"field columns.{column}.mix: a mix is of codes or numbers that may be told; {column!r} is {what}."


def _reference_problems(written: _ContractFile, settings: Settings) -> Iterator[str]:
    for column, definition in written.columns.items():
        if not definition.refers_to:
            continue
        field = f"field columns.{column}.refers_to: {definition.refers_to!r}"
        contract, other = _parted(definition.refers_to)
        path = settings.files.file("expectations", f"{contract}.yaml")
        if not path.is_file():
            yield f"{field}: there is no contract {contract!r}. There are: {', '.join(contract_names(settings))}."
            continue
        columns = read_document(path, _ContractFile).columns
        if other not in columns:
            yield f"{field}: contract {contract} has no column {other!r}. It has: {', '.join(columns)}."
        elif columns[other].type != definition.type:
            yield f"{field}: is of type {columns[other].type}, and {column!r} of type {definition.type}."


def _expectation_problems(written: _ContractFile) -> Iterator[str]:
    rules: set[str] = {f"{column}_present" for column, definition in written.columns.items() if definition.required}
    for index, expectation in enumerate(written.expectations):
        field = f"field expectations.{index}"
        if expectation.rule in rules:
            yield f"{field}.rule: {expectation.rule!r} is used twice (required columns bring <column>_present)."
        rules.add(expectation.rule)
        for argument, value in expectation.kwargs.items():
            if argument in ("column", "column_A", "column_B") and str(value) not in written.columns:
                yield f"{field}.kwargs.{argument}: {value!r} is not a column of this contract."
