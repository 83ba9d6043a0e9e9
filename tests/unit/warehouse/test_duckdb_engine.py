"""The embedded engine: what a transaction keeps, how tables grow, and how they are filled."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings
from perennial.warehouse import Warehouse, open_warehouse


@pytest.fixture
def warehouse(tmp_path):
    warehouse = Warehouse.connect(tmp_path / "w.duckdb", load_settings(home=tmp_path))
    warehouse.create("core.x", {"a": "bigint", "b": "text"})
    yield warehouse
    warehouse.close()


def rows(warehouse):
    return [tuple(row.values()) for row in warehouse.query("select * from core.x order by all").to_pylist()]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_transaction_is_all_or_nothing(warehouse, error):
    def interrupted():
        with warehouse.transaction():
            warehouse.execute("insert into core.x values (1, 'one')")
            raise error

    with pytest.raises(error):
        interrupted()
    assert rows(warehouse) == []
    with warehouse.transaction():
        warehouse.execute("insert into core.x values (2, 'two')")
    assert rows(warehouse) == [(2, "two")]


def test_transactions_do_not_nest(warehouse):
    with pytest.raises(RuntimeError, match="do not nest"), warehouse.transaction(), warehouse.transaction():
        pass


def test_create_adds_what_is_missing_and_keeps_the_rest(warehouse):
    warehouse.execute("insert into core.x values (1, 'one')")
    warehouse.create("core.x", {"b": "text", "c": "date"})
    assert warehouse.columns("core.x") == {"a": "BIGINT", "b": "VARCHAR", "c": "DATE"}
    assert rows(warehouse) == [(1, "one", None)]


def test_append_matches_columns_by_name(warehouse):
    warehouse.append("core.x", pa.table({"b": ["one"], "a": [1]}))
    warehouse.append("core.x", pa.table({"a": [2]}))
    assert rows(warehouse) == [(1, "one"), (2, None)]


def test_append_takes_a_stream(warehouse):
    table = pa.table({"a": [1, 2], "b": ["one", "two"]})
    warehouse.append("core.x", pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=1)))
    assert rows(warehouse) == [(1, "one"), (2, "two")]


def test_upsert_puts_rows_in_place_of_those_with_their_key(warehouse):
    warehouse.append("core.x", pa.table({"a": [1, 2], "b": ["one", "two"]}))
    with warehouse.transaction():
        warehouse.upsert("core.x", "a", pa.table({"a": [2, 3], "b": ["zwei", "drei"]}))
    assert rows(warehouse) == [(1, "one"), (2, "zwei"), (3, "drei")]


def test_parameters_are_bound_not_pasted(warehouse):
    warehouse.execute("insert into core.x values ($a, $b)", a=1, b="x'); drop table core.x; --")
    assert warehouse.value("select b from core.x where a = $a", a=1) == "x'); drop table core.x; --"
    assert warehouse.value("select b from core.x where a = $a", a=9) is None
    assert warehouse.count("select count(*) from core.x") == 1


def test_swap_puts_a_new_table_in_place_of_the_old(warehouse):
    warehouse.create_as("core.x__new", "select 7 as a")
    with warehouse.transaction():
        warehouse.swap("core.x__new", "core.x")
    assert rows(warehouse) == [(7,)]
    assert not warehouse.has("core.x__new")


def test_moments_are_read_in_utc_wherever_the_machine_is(warehouse):
    summer = warehouse.value("select timestamptz '2026-07-01 12:00:00+02:00'")
    assert summer == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert warehouse.value("select cast(timestamptz '2026-07-01 01:00:00+02:00' as date)").isoformat() == "2026-06-30"


def test_buckets_and_hashes_are_the_same_for_ever(warehouse):
    assert warehouse.value("select bucket('holdout:win_back:c1', 10000)") == 5015
    assert warehouse.value("select bucket(null, 10000)") is None
    same = "select address_hash(' Ada@Example.com ') = address_hash('ada@example.com')"
    assert warehouse.value(same) is True


def test_buckets_are_even(warehouse):
    sql = "select bucket(cast(range as text), 4) as b, count(*) as n from range(4000) group by 1"
    counts = warehouse.query(sql)["n"].to_pylist()
    assert len(counts) == 4
    assert min(counts) > 900


@pytest.mark.parametrize("url", ["postgresql://someone:tulips@db.example/shop", "warehouse.duckdb", "duckdb:///"])
def test_a_warehouse_that_is_no_duckdb_file_is_refused_and_no_password_told(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(home=tmp_path / "home", warehouse=url)
    with pytest.raises(BadConfig, match="must name a DuckDB file") as error, open_warehouse(settings):
        pass
    assert "tulips" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
