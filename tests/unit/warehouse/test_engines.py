"""The engines: what a transaction keeps, how tables grow, and how they are filled."""

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.foundation.errors import BadConfig, Retryable
from perennial.foundation.settings import load_settings
from perennial.warehouse import open_warehouse


@pytest.fixture
def warehouse(warehouses):
    warehouse = warehouses.empty()
    warehouse.create("core.x", {"a": "bigint", "b": "text"})
    yield warehouse
    warehouse.close()


def rows(warehouse):
    return sorted(tuple(row.values()) for row in warehouse.query("select * from core.x").to_pylist())


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
    assert warehouse.columns("core.x") == {"a": "bigint", "b": "text", "c": "date"}
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


def test_many_rows_loaded_in_a_transaction_are_seen_by_every_condition(warehouse):
    """DuckDB 2.0.0 took a column that came from an empty SELECT to be null throughout, once it filled a row group."""
    many = pa.table({"a": range(130_000), "b": [f"ref:{number}" for number in range(130_000)]})
    with warehouse.transaction():
        warehouse.load("core.many", many)
        warehouse.load("many_too", many, temporary=True)
        warehouse.upsert("core.x", "b", many)
        warehouse.upsert("core.x", "b", many)
    for table in ("core.many", "many_too", "core.x"):
        assert warehouse.count(f"select count(*) from {table} where not starts_with(b, 'device:')") == 130_000


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
    warehouse.append("core.x", pa.table({"b": [str(number) for number in range(4000)]}))
    counts = warehouse.query("select bucket(b, 4) as bucket, count(*) as n from core.x group by 1")["n"].to_pylist()
    assert len(counts) == 4
    assert min(counts) > 900


@given(st.integers(-(10**11), 10**11), st.integers(1, 100_000))
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_money_is_divided_exactly_half_a_cent_away_from_zero(warehouse, cents, items):
    amount = Decimal(cents) / 100
    found = warehouse.value("select money_per(cast($amount as decimal(14, 2)), $items)", amount=amount, items=items)
    assert found == (amount / items).quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_money_per_nothing_is_null(warehouse):
    assert warehouse.value("select money_per(cast(1 as decimal(14, 2)), 0)") is None
    assert warehouse.value("select money_per(cast(null as decimal(14, 2)), 2)") is None


EVERYTHING = pa.table(
    {
        "txt": pa.array(["", None, 'a "quoted", line\nbroken\r\n text', "\\N", "早安 \u00e9 \u2028", " "]),
        "whole": pa.array([0, None, 2**63 - 1, -(2**63), 1, 2], pa.int64()),
        "real": pa.array([0.1, None, 1e308, -5e-324, 1 / 3, float("inf")]),
        "money": pa.array(
            [Decimal("0.10"), None, Decimal("-9999999999.99"), Decimal("1.00"), Decimal(0), Decimal(1)],
            pa.decimal128(12, 2),
        ),
        "day": pa.array(
            [date(2026, 2, 28), None, date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1), date(2000, 1, 1)]
        ),
        "moment": pa.array(
            [
                datetime(2026, 7, 1, 10, 0, 0, 123456, tzinfo=UTC),
                None,
                *[datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)] * 4,
            ],
            pa.timestamp("us", "UTC"),
        ),
        "flag": pa.array([True, None, False, True, False, True]),
    }
)


def test_rows_come_out_as_they_went_in(warehouse):
    warehouse.load("core.everything", EVERYTHING)
    found = warehouse.query("select * from core.everything")
    assert found.schema.equals(EVERYTHING.schema)
    assert sorted(found.to_pylist(), key=repr) == sorted(EVERYTHING.to_pylist(), key=repr)


def test_a_text_may_be_longer_than_what_is_read_at_once(warehouse):
    texts = ["short", "long " * 1_000_000, "short"]
    warehouse.load("raw.texts", pa.table({"n": [1, 2, 3], "text": texts}))
    assert warehouse.query("select text from raw.texts order by n")["text"].to_pylist() == texts


def test_a_lonely_null_is_a_row(warehouse):
    warehouse.append("core.x", pa.table({"b": pa.array([None, "", None], pa.string())}))
    assert warehouse.query("select b from core.x")["b"].to_pylist() == [None, "", None]


def test_a_stream_is_read_in_parts_and_may_be_left(warehouse):
    warehouse.append("core.x", pa.table({"a": range(300_000), "b": ["x" * 50] * 300_000}))
    with warehouse.stream("select a, b from core.x") as rows:
        assert 0 < rows.read_next_batch().num_rows < 300_000
    assert warehouse.count("select count(*) from core.x") == 300_000


def test_text_is_ordered_by_code_point(warehouse):
    warehouse.append("core.x", pa.table({"b": ["a", "B", "é", "Z", "z"]}))
    assert warehouse.query("select b from core.x order by b")["b"].to_pylist() == ["B", "Z", "a", "z", "é"]


@pytest.mark.parametrize("url", ["mysql://someone:tulips@db.example/shop", "warehouse.duckdb", "duckdb:///"])
def test_a_warehouse_of_no_known_engine_is_refused_and_no_password_told(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(home=tmp_path / "home", warehouse=url)
    with pytest.raises(BadConfig, match="must name a DuckDB file") as error, open_warehouse(settings):
        pass
    assert "tulips" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_can_be_tried_again(tmp_path):
    settings = load_settings(home=tmp_path, warehouse="postgresql://someone:tulips@127.0.0.1:1/shop")
    with pytest.raises(Retryable, match="shop at 127") as error, open_warehouse(settings):
        pass
    assert "tulips" not in str(error.value)


def test_a_session_ended_by_the_server_can_be_tried_again(postgres, tmp_path):
    settings = load_settings(home=tmp_path, warehouse=postgres.database())

    def work():
        with open_warehouse(settings) as warehouse, psycopg.connect(settings.warehouse_url, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
            warehouse.execute("create schema core")

    with pytest.raises(Retryable, match="cannot go on"):
        work()


def test_a_database_without_unicode_is_refused(postgres, tmp_path):
    url = postgres.database(locale="locale 'C'")
    with (
        pytest.raises(BadConfig, match="order text by code point"),
        open_warehouse(load_settings(home=tmp_path, warehouse=url)),
    ):
        pass
