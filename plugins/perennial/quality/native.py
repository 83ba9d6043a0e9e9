"""Great Expectations evaluated by DuckDB itself. Importing this module costs seconds: do it when there is work."""

import os
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


def evaluate(
    connection: duckdb.DuckDBPyConnection, table: str, suite: Sequence[Expectation]
) -> dict[str, ExpectationValidationResult]:
    """The result of each rule of the suite on `table`, by rule. A rule that fails to run carries its exception."""
    # A cursor is a second connection to the same database that may be closed with the engine.
    engine = sqlalchemy.create_engine(
        "duckdb:///:memory:",
        creator=lambda: ConnectionWrapper(connection.cursor()),
        poolclass=sqlalchemy.pool.StaticPool,
    )
    try:
        execution = _DuckDBEngine(engine=engine, create_temp_table=False)
        data = SqlAlchemyBatchData(execution_engine=execution, table_name=table, create_temp_table=False)
        batch = Batch(data=data)  # type: ignore[arg-type]  # its annotation is of the class, not of an instance
        validator = _QuietValidator(execution_engine=execution, batches=[batch])
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
        if execution._connection is not None:
            execution._connection.close()
    finally:
        engine.dispose()
    return {result.expectation_config.meta["rule"]: result for result in results if result.expectation_config}
