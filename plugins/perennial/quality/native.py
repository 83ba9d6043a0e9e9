"""Great Expectations evaluated by DuckDB itself. Importing this module costs seconds: do it when there is work."""

import atexit
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import sqlalchemy

from perennial.contracts import Expectation

os.environ["GX_ANALYTICS_ENABLED"] = "False"  # read when Great Expectations is imported

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own use of deprecated modules
    from duckdb_sqlalchemy import ConnectionWrapper
    from great_expectations.core.batch import Batch
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
    from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity
    from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
        column_condition_partial,
    )
    from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
        ColumnMapMetricProvider,
    )
    from great_expectations.validator.validator import Validator

# Great Expectations keeps the dialect alive past the end of the interpreter, and with it DuckDB, which then reports
# "leaked" objects on stderr.
for _name, _module in list(sys.modules.items()):
    if _name.partition(".")[0] == "duckdb_sqlalchemy":
        atexit.register(vars(_module).clear)

_RESULT_FORMAT = {
    "result_format": "BASIC",
    "unexpected_index_column_names": ["_id"],
    "return_unexpected_index_query": True,
    "partial_unexpected_count": 0,  # no values of rows in results or logs
}


class _DuckDBEngine(SqlAlchemyExecutionEngine):
    """Keeps one connection: Great Expectations fetches after closing, and DuckDB then has no rows any more."""

    @contextmanager
    def get_connection(self) -> Iterator[sqlalchemy.Connection]:
        if self._connection is None:
            self._connection = self.engine.connect()
        yield self._connection


class _MatchRegex(ColumnMapMetricProvider):
    """`expect_column_values_to_match_regex`, for which Great Expectations knows no DuckDB function."""

    condition_metric_name = "column_values.match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=_DuckDBEngine)
    def _duckdb(cls, column: Any, regex: str, **_: object) -> Any:  # noqa: N805 - Great Expectations' convention
        return sqlalchemy.func.regexp_matches(column, regex)


class _QuietValidator(Validator):
    """Without progress bars in the log of a task."""

    def _determine_progress_bars(self) -> bool:
        return False


class RuleError(Exception):
    """A rule cannot be evaluated."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(rule, reason)
        self.rule = rule
        self.reason = reason


def evaluate(
    connection: duckdb.DuckDBPyConnection, table: str, suite: Sequence[Expectation]
) -> dict[str, ExpectationValidationResult]:
    """The result of each rule of the suite on `table`, by rule. Raises RuleError."""
    with _batch(connection, table) as validator:
        try:
            return _results(validator, suite)
        except RuleError:
            # Rules share queries, so that one may fail in the name of another: find out which.
            for expectation in suite:
                _results(validator, [expectation])
            raise


@contextmanager
def _batch(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[Validator]:
    engine = sqlalchemy.create_engine(
        "duckdb:///:memory:",
        creator=lambda: ConnectionWrapper(connection.cursor()),  # a second connection, closed with the engine
        poolclass=sqlalchemy.pool.StaticPool,
    )
    try:
        execution = _DuckDBEngine(engine=engine, create_temp_table=False)
        data = SqlAlchemyBatchData(execution_engine=execution, table_name=table, create_temp_table=False)
        batch = Batch(data=data)  # type: ignore[arg-type]  # its annotation is of the class, not of an instance
        yield _QuietValidator(execution_engine=execution, batches=[batch])
        if execution._connection is not None:
            execution._connection.close()
    finally:
        engine.dispose()


def _results(validator: Validator, suite: Sequence[Expectation]) -> dict[str, ExpectationValidationResult]:
    try:
        results = validator.graph_validate(
            [
                ExpectationConfiguration(
                    type=expectation.expect,
                    kwargs=dict(expectation.kwargs),
                    meta={"rule": expectation.rule},
                    severity=FailureSeverity(expectation.severity.value),
                )
                for expectation in suite
            ],
            runtime_configuration={"result_format": _RESULT_FORMAT, "catch_exceptions": True},
        )
    except (GreatExpectationsError, ValueError) as error:  # an unknown expectation, wrong arguments
        raise RuleError(suite[0].rule, str(error).split("\n", 1)[0]) from error
    by_rule = {result.expectation_config.meta["rule"]: result for result in results if result.expectation_config}
    for rule, result in by_rule.items():
        reason = _exception_of(result)
        if reason:
            raise RuleError(rule, reason)
    return by_rule


def _exception_of(result: ExpectationValidationResult) -> str | None:
    """The first line of what went wrong, from either of the two shapes Great Expectations reports it in."""
    reports = [result.exception_info, *result.exception_info.values()]
    for report in reports:
        if isinstance(report, dict) and report.get("raised_exception"):
            return str(report["exception_message"]).split("\n", 1)[0]
    return None
