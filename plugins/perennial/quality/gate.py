"""What a contract's suite finds in a table of rows: checks to record, and the rows to quarantine with all reasons."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from perennial.contracts import Contract, Expectation, Severity
from perennial.foundation.errors import BadConfig, BadData

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

log = logging.getLogger(__name__)

FINDINGS = "findings"
"""The table written by `validate`: `_id` of each row that breaks a critical rule, `reasons` a list of text."""

_READABLE = Expectation(
    rule="readable",
    severity=Severity.CRITICAL,
    expect="expect_column_values_to_be_null",
    kwargs={"column": "_unreadable"},
)
"""Part of every suite: a value that is present can be read as the type of its column."""

_OWN_QUERY = "unexpected_rows_expectation"


@dataclass(frozen=True)
class Check:
    """One rule on one batch: `failed` of `rows` break it. For a rule about the whole table `failed` is 0 or 1."""

    rule: str
    severity: str
    rows: int
    failed: int
    passed: bool
    detail: str


def validate(connection: duckdb.DuckDBPyConnection, table: str, contract: Contract) -> list[Check]:
    """
    Hold `table` (the contract's columns, `_id`, `_unreadable`, `_landed_at`) to the suite of `contract`.

    Creates the table FINDINGS beside it. An empty table is held to nothing: a day without rows is no error.

    Raises BadData if a critical rule about the whole table is broken, BadConfig for a rule that cannot be evaluated.
    """
    connection.execute(f"create table {FINDINGS} (_id bigint, reasons text[])")
    rows = _count(connection, f"select count(*) from {table}")
    if rows == 0:
        return []
    suite = (_READABLE, *contract.expectations)
    results = _evaluate(connection, table, contract, suite)
    checks = []
    broken = []
    for expectation, result in zip(suite, results, strict=True):
        rows_of = _broken_rows(table, expectation, result)
        failed = _failed(connection, rows_of) if not result.success else 0
        checks.append(
            Check(expectation.rule, expectation.severity, rows, failed, bool(result.success), _detail(result, rows_of))
        )
        if result.success or expectation.severity is not Severity.CRITICAL:
            continue
        if rows_of is None:
            raise BadData(
                f"Contract {contract.name}: the batch breaks the critical rule {expectation.rule} "
                f"({_detail(result, rows_of)}), so nothing of it was loaded."
            )
        broken.append(f"select _id, {_reason(expectation)} as reason from ({rows_of}) join {table} using (_id)")
    if broken:
        connection.execute(
            f"insert into {FINDINGS} select _id, list(distinct reason order by reason) "
            f"from ({' union all '.join(broken)}) group by _id"
        )
    return checks


def _evaluate(
    connection: duckdb.DuckDBPyConnection, table: str, contract: Contract, suite: Sequence[Expectation]
) -> "list[ExpectationValidationResult]":
    """The results of the suite, in its order."""
    from perennial.quality.native import RuleError, evaluate

    try:
        results = evaluate(connection, table, suite)
    except RuleError as error:
        written = next(expectation for expectation in suite if expectation.rule == error.rule)
        raise BadConfig(
            f"{contract.path}: rule {error.rule} ({written.expect}, {written.kwargs}) cannot be evaluated: "
            f"{error.reason}"
        ) from error
    return [results[expectation.rule] for expectation in suite]


def _broken_rows(table: str, expectation: Expectation, result: "ExpectationValidationResult") -> str | None:
    """A query for the `_id` of the rows that break the rule; None for a rule about the whole table."""
    if expectation.expect == _OWN_QUERY:
        return f"select _id from ({expectation.kwargs['unexpected_rows_query'].format(batch=table)})"
    query = result.result.get("unexpected_index_query")
    return f"select _id from ({query.rstrip().rstrip(';')})" if query else None


def _failed(connection: duckdb.DuckDBPyConnection, rows_of: str | None) -> int:
    return _count(connection, f"select count(*) from ({rows_of})") if rows_of else 1


def _reason(expectation: Expectation) -> str:
    return "'readable: ' || _unreadable" if expectation is _READABLE else f"'{expectation.rule}'"


def _detail(result: "ExpectationValidationResult", rows_of: str | None) -> str:
    """What was seen, for rules about the whole table; values of rows may be personal and stay out."""
    return "" if rows_of or result.success else f"observed {result.result.get('observed_value')}"


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row: Any = connection.execute(sql).fetchone()
    return int(row[0])
