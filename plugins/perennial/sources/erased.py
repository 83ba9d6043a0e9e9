"""Rows of people who were erased, on their way into the warehouse or the landing: their persons are left out."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from perennial.contracts import Contract, Erased
from perennial.contracts.erased import without_the_erased

_ROWS_AT_ONCE = 100_000


@contextmanager
def without_erased(
    rows: pa.RecordBatchReader | pa.Table, contract: Contract, erased: Erased
) -> Iterator[pa.RecordBatchReader | pa.Table]:
    """The rows, shaped as `raw.<contract>`, in their order, with nobody in them who was erased."""
    if not erased:
        yield rows
        return
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        know_erased(connection, erased)
        connection.register("incoming", rows)
        left = without_the_erased(contract, erased.salt, "incoming")
        yield connection.sql(left).to_arrow_reader(_ROWS_AT_ONCE)


def know_erased(connection: duckdb.DuckDBPyConnection, erased: Erased) -> None:
    """Make what the conditions of `contracts.erased` need."""
    connection.execute("create temp macro address_hash(address) as sha256(lower(trim(address)))")
    connection.execute("create temp table erased_identifiers (hash text)")
    connection.register("hashes", pa.table({"hash": sorted(erased.hashes)}))
    connection.execute("insert into erased_identifiers select hash from hashes")
    connection.unregister("hashes")
