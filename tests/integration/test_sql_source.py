"""Rows of SQL databases are landed as they are and go through the gate: on a SQLite file and a real PostgreSQL."""

import gc
import gzip
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from intake import SHOP, Shop
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import URL

from perennial.contracts import load_contract
from perennial.contracts.staging import staging_sql
from perennial.foundation.errors import BadConfig, BadData, Retryable
from perennial.foundation.settings import load_settings
from perennial.sources import database as adapter
from perennial.sources import landed, load_source, take

FILES = "path: shop/*\nformat: csv\n"
ORDERS = {"table": "orders", "cursor": "updated_at"}
NINE = datetime(2026, 1, 5, 9, tzinfo=UTC)
SECRET = "s3cr3t"


class Database:
    """The database of a shop: one table, `orders`, as the mapping of `intake.SHOP` has it, and its cursor."""

    def __init__(self, url):
        self.url = url
        self.engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        moment = "timestamptz" if self.engine.name == "postgresql" else "text"
        self.execute("drop table if exists orders")
        self.execute(
            f"create table orders (id integer primary key, order_no text, line text, date text, sku text, name text, "
            f"qty integer, price numeric(12, 4), status text, updated_at {moment}, number bigint)"
        )

    def execute(self, statement, **values):
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.text(statement), values)

    def put(self, number, at=NINE, name="Tee", counter=None):
        """Insert the row, or change it."""
        at = at.isoformat(sep=" ") if isinstance(at, datetime) and self.engine.name == "sqlite" else at
        self.execute("delete from orders where id = :id", id=number)
        self.execute(
            "insert into orders values (:id, :no, '1', '2026-01-05 10:00', 's1', :name, 1, 9.9, 'completed', :at, :n)",
            id=number,
            no=f"o{number}",
            name=name,
            at=at,
            n=counter,
        )


def sqlalchemy_url(uri):
    about = conninfo_to_dict(uri)
    address = URL.create("postgresql+psycopg", about["user"], about.get("password"), database=about["dbname"])
    return address.update_query_dict({"host": about["host"], "port": str(about.get("port", 5432))})


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path / 'its.sqlite'}")
    url = sqlalchemy_url(request.getfixturevalue("postgres").database())
    return Database(url.render_as_string(hide_password=False))


def shop_of(database, home, place=ORDERS):
    shop = Shop(home)
    shop.its = str(database.url)
    pull_from(shop, place)
    return shop


def pull_from(shop, place, url=None):
    block = json.dumps({"connection": "shop", "key": "id"} | place)
    shop.source(SHOP, place=(FILES, f"format: jsonl\ndatabase: {block}\n"))
    shop.settings = shop.settings.model_copy(update={"connections": connections(shop=url or shop.its)})


def connections(**urls):
    return load_settings(connections=urls).connections


@pytest.fixture
def shop(database, tmp_path):
    return shop_of(database, tmp_path)


def pull(shop):
    return take(load_source("shop", shop.settings), shop.settings)


def lines(shop, entry):
    content = gzip.decompress((shop.settings.landing_dir / entry.path).read_bytes())
    return [json.loads(line) for line in content.decode().split("\n")[:-1]]


def ids(shop):
    """The numbers of the rows of each pull that has landed."""
    return [[row["id"] for row in lines(shop, entry)] for entry in landed("shop", shop.settings)]


def current(shop):
    """Order -> name of its product, as it counts now."""
    sql = staging_sql(load_contract("order_lines", shop.settings)).replace("$day", "date '2026-01-31'")
    return dict(shop.rows(f"select order_id, product_name from ({sql}) as staged where fate = 'current'"))


def fates(shop):
    sql = staging_sql(load_contract("order_lines", shop.settings)).replace("$day", "date '2026-01-31'")
    return dict(shop.rows(f"select fate, count(*) from ({sql}) as staged group by fate"))


def test_what_is_new_is_pulled_and_a_changed_row_becomes_a_new_version(shop, database):
    database.put(1)
    database.put(2, NINE + timedelta(hours=2))
    assert shop.ingest()["shop"]["accepted"] == 2
    assert shop.ingest()["shop"]["files"] == 0
    assert pull(shop) == []

    database.put(3, NINE + timedelta(days=1))
    assert shop.ingest()["shop"]["accepted"] == 2  # with the row that lies in the overlap
    database.put(1, NINE + timedelta(days=2), name="Cap")
    shop.ingest()
    assert ids(shop) == [[1, 2], [2, 3], [3, 1]]
    assert current(shop) == {"o1": "Cap", "o2": "Tee", "o3": "Tee"}
    assert fates(shop) == {"current": 3, "duplicate": 2, "superseded": 1}
    assert pull(shop) == []
    names = [entry.file for entry in landed("shop", shop.settings)]
    assert names == sorted(names), "the clock of the test stands still, the order of names does not"


def test_an_empty_table_is_no_file(shop, database):
    assert pull(shop) == []
    pull_from(shop, {"table": "orders"})
    assert pull(shop) == []


def test_a_late_commit_is_taken_within_the_overlap_and_not_beyond(shop, database):
    database.put(1)
    pull(shop)
    database.put(2, NINE - timedelta(minutes=59))
    database.put(3, NINE - timedelta(minutes=61))
    assert len(pull(shop)) == 1
    assert ids(shop) == [[1], [2, 1]]
    assert pull(shop) == []
    pull_from(shop, {"table": "orders", "cursor": "updated_at", "overlap": "1000d"})  # how all is taken once more
    assert len(pull(shop)) == 1
    assert ids(shop)[-1] == [3, 2, 1]


def test_a_date_in_the_far_future_does_not_hide_what_comes(shop, database):
    database.put(1, NINE.replace(year=2999))
    pull(shop)
    assert pull(shop) == []
    database.put(2, shop.settings.now - timedelta(minutes=30))
    pull(shop)
    assert ids(shop) == [[1], [2, 1]]
    assert pull(shop) == []


def test_of_rows_with_equal_cursors_none_is_missed_without_an_overlap(shop, database):
    pull_from(shop, {"table": "orders", "cursor": "updated_at", "overlap": "0h"})
    database.put(2)
    pull(shop)
    database.put(3)
    database.put(1)
    pull(shop)
    assert ids(shop) == [[2], [1, 2, 3]]
    database.put(2, name="Cap")  # within the same moment
    pull(shop)
    assert len(ids(shop)) == 3
    database.put(2)  # and back: a pull like an earlier one is no duplicate of it
    pull(shop)
    shop.ingest()
    assert current(shop) == {"o1": "Tee", "o2": "Tee", "o3": "Tee"}
    assert pull(shop) == []


@pytest.mark.parametrize(("overlap", "second"), [({}, [2, 3]), ({"overlap": 5}, [1, 2, 3])])
def test_a_number_is_a_cursor_too(shop, database, overlap, second):
    pull_from(shop, {"table": "orders", "cursor": "number"} | overlap)
    database.put(1, counter=8)
    database.put(2, counter=10)
    pull(shop)
    assert pull(shop) == []
    database.put(3, counter=2**53 + 1)
    pull(shop)
    assert ids(shop) == [[1, 2], second]
    assert pull(shop) == []


def test_a_decimal_and_a_date_are_cursors(shop, database):
    for name, cursor in (("decimal", "price"), ("date", "substr(date, 1, 10)")):
        kind = name if name == "decimal" or database.engine.name == "postgresql" else "text"
        query = f"select o.*, cast({cursor} as {kind}) as c from orders as o"
        pull_from(shop, {"query": query, "cursor": "c"})
        database.execute("delete from orders")
        before = len(ids(shop))
        database.put(1)
        pull(shop)
        assert pull(shop) == []
        database.put(2)
        pull(shop)
        assert ids(shop)[before:] == [[1], [1, 2]]
        pull_from(shop, {"table": "orders", "cursor": "updated_at"})
        for entry in (shop.settings.landing_dir / "shop").glob("*"):
            entry.unlink()


def test_a_row_without_a_cursor_is_pulled_each_time(shop, database):
    database.put(1, at=None)
    pull(shop)
    database.put(2)
    pull(shop)
    database.put(1, at=None, name="Cap")
    pull(shop)
    assert ids(shop) == [[1], [1, 2], [1, 2]]
    assert pull(shop) == []
    shop.ingest()
    assert current(shop) == {"o1": "Cap", "o2": "Tee"}


def test_without_a_cursor_the_whole_table_counts_as_it_is_now(shop, database):
    pull_from(shop, {"table": "orders"})
    database.put(1)
    database.put(2)
    shop.ingest()
    assert shop.ingest()["shop"]["files"] == 0
    database.execute("delete from orders where id = 1")
    shop.ingest()
    assert current(shop) == {"o2": "Tee"}
    database.put(1)  # the content of the first version again
    shop.ingest()
    assert current(shop) == {"o1": "Tee", "o2": "Tee"}
    assert [entry.version for entry in landed("shop", shop.settings)] == [1, 2, 3]


def test_a_query_may_join_filter_and_hold_colons_and_percent_signs(shop, database):
    database.put(1)
    database.put(2, name="100% :wool \\d")
    query = r"select id, name, updated_at from orders where name like '100%:w%' and '10:30' <> ':x' and name <> '\d';"
    pull_from(shop, {"query": query, "cursor": "updated_at"})
    [entry] = pull(shop)
    assert [row["name"] for row in lines(shop, entry)] == ["100% :wool \\d"]
    assert pull(shop) == []


ODD = "a\nb\r\n\"quoted\", 'single' \u2028 \x85 \U0001f331"


def test_postgres_values_are_kept_exactly(tmp_path, postgres):
    database = Database(sqlalchemy_url(postgres.database()).render_as_string(hide_password=False))
    shop = shop_of(database, tmp_path, {"table": "own.Types", "cursor": "at"})
    database.execute("create schema own")
    database.execute(
        """create table own."Types" (id int, at timestamptz, naive timestamp, day date, clock time, exact numeric,
        double float8, not_a_number float8, words text, "Öld name" text, nothing text, raw bytea, truth boolean,
        nested jsonb, list numeric[], unique_id uuid, big bigint)"""
    )
    database.execute(
        """insert into own."Types" values (1, '2026-03-29 03:30+02', '2026-03-29 02:30:00.5', '0044-03-15', '23:59:59',
        12345678901234567890.12345678901234567890, 0.1, 'NaN', :words, 'x', null, '\\x00ff0a', true, '{"b": [1, "ü"]}',
        '{1.10,null}', '00000000-0000-0000-0000-000000000001', 9223372036854775807)""",
        words=ODD,
    )
    [entry] = pull(shop)
    assert lines(shop, entry) == [
        {
            "id": 1,
            "at": "2026-03-29T01:30:00+00:00",
            "naive": "2026-03-29T02:30:00.500000",
            "day": "0044-03-15",
            "clock": "23:59:59",
            "exact": "12345678901234567890.12345678901234567890",
            "double": 0.1,
            "not_a_number": "nan",
            "words": ODD,
            "Öld name": "x",
            "nothing": None,
            "raw": "AP8K",
            "truth": True,
            "nested": {"b": [1, "ü"]},
            "list": ["1.10", None],
            "unique_id": "00000000-0000-0000-0000-000000000001",
            "big": 2**63 - 1,
        }
    ]
    assert pull(shop) == []
    database.execute(f"alter database {database.engine.url.database} set timezone to 'Asia/Tokyo'")
    assert pull(shop) == [], "what is landed does not depend on the zone of the session"
    pull_from(shop, {"table": "own.Types", "cursor": "naive"})
    assert pull(shop) == []


def test_sqlite_values_are_kept_exactly_and_odd_text_reaches_the_tables(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'its file?.sqlite'}".replace("?", "%3F"))
    shop = shop_of(database, tmp_path)
    odd = ODD + "\0end"
    database.put(1, name=odd)
    database.execute("update orders set status = 'completed', sku = x'00ff0a', line = null, price = 0.1")
    [entry] = pull(shop)
    [row] = lines(shop, entry)
    assert (row["name"], row["sku"], row["line"], row["price"]) == (odd, "AP8K", None, 0.1)
    assert shop.ingest()["shop"]["accepted"] == 1
    assert shop.rows("select product_name from raw.order_lines") == [(odd.replace("\0", ""),)]


@pytest.mark.parametrize("zone", ["", "Z", "+02:00"])
@pytest.mark.parametrize("separator", [" ", "T"])
def test_times_that_are_text_keep_their_form(tmp_path, zone, separator):
    shop = shop_of(database := Database(f"sqlite:///{tmp_path / 'its.sqlite'}"), tmp_path)
    database.put(1, f"2026-01-05{separator}08:59:58{zone}")
    database.put(2, f"2026-01-05{separator}10:00:00.25{zone}")
    pull(shop)
    database.put(3, f"2026-01-05{separator}09:30:00{zone}")
    database.put(4, f"2026-01-05{separator}08:59:59.1{zone}")
    pull(shop)
    assert ids(shop) == [[1, 2], [3, 2]]


def test_the_same_rows_make_the_same_bytes(shop, database, tmp_path):
    database.put(2)
    database.put(1)
    other = shop_of(database, tmp_path / "other")
    [one], [two] = pull(shop), pull(other)
    assert (one.sha256, one.file) == (two.sha256, two.file)


def test_a_failure_half_way_leaves_nothing_and_the_next_pull_is_whole(shop, database, monkeypatch):
    rows = adapter._ROWS_AT_ONCE + 500
    with database.engine.begin() as connection:
        connection.execute(
            sqlalchemy.text("insert into orders (id, name, qty, updated_at) values (:id, :name, 1, :at)"),
            [{"id": number, "name": "x", "at": str(NINE)} for number in range(1, rows + 1)],
        )
    query = f"select o.*, abs(case when id < {rows} then 1 else DIVISOR end) as a from orders as o"
    fails = "1 / (id - {0})" if database.engine.name == "postgresql" else "json('[' || id)"
    pull_from(shop, {"query": query.replace("DIVISOR", fails.format(rows)), "cursor": "updated_at"})
    with pytest.raises((BadData, Retryable), match=r"cannot all be read .*, and none was taken"):
        pull(shop)
    assert landed("shop", shop.settings) == []

    pull_from(shop, ORDERS)
    plain, told = adapter._plain, []

    def breaks_off(value):
        told.append(value)
        if len(told) > 5_000:
            raise OSError(28, "No space left on device")
        return plain(value)

    monkeypatch.setattr(adapter, "_plain", breaks_off)
    with pytest.raises(Retryable, match="No space left"):
        pull(shop)
    monkeypatch.undo()
    left = shop.settings.landing_dir / "shop" / ".pulling"
    assert not left.exists()
    left.write_bytes(b"of a pull that was killed")
    assert len(pull(shop)) == 1
    assert ids(shop) == [list(range(1, rows + 1))]
    assert not left.exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the driver's, of the cursor left
def test_a_connection_that_breaks_off_is_tried_again(tmp_path, postgres):
    url = sqlalchemy_url(postgres.database()).render_as_string(hide_password=False)
    shop = shop_of(database := Database(url), tmp_path)
    database.put(1)
    query = "select o.*, pg_terminate_backend(pg_backend_pid()) from orders as o"
    pull_from(shop, {"query": query, "cursor": "updated_at"})
    try:  # `pytest.raises` would keep the cursor alive
        pull(shop)
    except Retryable as error:
        told = str(error)
    assert "cannot all be read (" in told
    assert landed("shop", shop.settings) == []
    gc.collect()


def test_the_database_is_only_read(tmp_path, postgres):
    url = sqlalchemy_url(postgres.database()).render_as_string(hide_password=False)
    shop = shop_of(database := Database(url), tmp_path)
    database.execute("create function spoil() returns int language sql as 'delete from orders returning id'")
    database.put(1)
    pull_from(shop, {"query": "select spoil() as id"})
    with pytest.raises(Retryable, match="ReadOnlySqlTransaction"):
        pull(shop)
    missing = tmp_path / "missing.sqlite"
    pull_from(shop, ORDERS, url=f"sqlite:///{missing}")
    with pytest.raises(Retryable, match="unable to open"):
        pull(shop)
    assert not missing.exists()


def test_a_sqlite_file_that_is_being_written_is_tried_again(tmp_path):
    shop = shop_of(Database(f"sqlite:///{tmp_path / 'its.sqlite'}?timeout=0"), tmp_path)
    with closing(sqlite3.connect(tmp_path / "its.sqlite", isolation_level=None)) as writer:
        writer.execute("begin exclusive")
        with pytest.raises(Retryable, match="cannot all be read"):
            pull(shop)


def test_a_landing_that_lost_its_last_pull_says_so(shop, database):
    database.put(1)
    [entry] = pull(shop)
    copy = shop.settings.landing_dir / entry.path
    copy.write_bytes(copy.read_bytes()[:-9])
    with pytest.raises(BadData, match="Restore the landing"):
        pull(shop)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"table": "nope", "cursor": "updated_at"}, "field database.table: 'nope' cannot be read: "),
        (
            {"table": "orders", "cursor": "changed"},
            "field database.cursor: there is no column 'changed'. There are: id, ",
        ),
        ({"table": "orders", "cursor": "updated_at", "key": "nope"}, "field database.key: there is no column 'nope'"),
        ({"query": "selec 1"}, "field database.query cannot be read: "),
        ({"query": "select id from orders where nope = 1"}, "field database.query cannot be read: "),
        ({"table": "orders", "cursor": "updated_at", "overlap": 5}, "field database.overlap: 5 does not suit"),
        ({"table": "orders", "cursor": "number", "overlap": "1h"}, "field database.overlap: 1:00:00 does not suit"),
        ({"table": "orders", "cursor": "name"}, "field database.cursor: name is neither a time nor a number."),
    ],
)
def test_what_cannot_be_pulled_names_field_and_value(shop, database, place, words):
    database.put(1, counter=5)
    pull_from(shop, place)
    if "neither" in words or "suit" in words:  # what kind the cursor is of, is seen when one has landed
        pull(shop)
    with pytest.raises(BadConfig) as refused:
        pull(shop)
    assert f"shop.yaml: {words}" in str(refused.value)


def test_columns_of_one_name_are_refused(tmp_path, postgres):  # SQLite makes up another
    url = sqlalchemy_url(postgres.database()).render_as_string(hide_password=False)
    shop = shop_of(Database(url), tmp_path, {"query": "select 1 as id, 2 as id"})
    with pytest.raises(BadConfig, match=r"field database.query: there are two columns id"):
        pull(shop)


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        (
            "postgresql://locked_out:s3cr3t@{host}/{name}",
            Retryable,
            "shop cannot be reached: .*password authentication",
        ),
        ("postgresql://me:s3cr3t@127.0.0.1:9/shop", Retryable, "shop cannot be reached: .*refused"),
        ("postgresql://me:s3cr3t@127.0.0.1/shop?colour=s3cr3t", BadConfig, "connection: 'shop' cannot be used"),
        ("postgresql://me:s3cr3t@p@127.0.0.1/shop", BadConfig, "Percent-encode"),
        ("postgresql://me:s3cr3t@127.0.0.1:port/shop", BadConfig, "Percent-encode"),
        ("me:s3cr3t", BadConfig, "Percent-encode"),
        ("mysql+nodriver://me:s3cr3t@127.0.0.1/shop", BadConfig, "the driver of 'mysql.nodriver' is not installed"),
        ("mysql+pymysql://me:s3cr3t@127.0.0.1/shop", BadConfig, "the driver of 'mysql.pymysql' is not installed"),
        ("oracle9://me:s3cr3t@127.0.0.1/shop", BadConfig, "the driver of 'oracle9' is not installed"),
        (None, BadConfig, "'shop' is not known. .* PERENNIAL_CONNECTIONS, .* perennial_source_shop"),
    ],
)
def test_a_database_that_cannot_be_reached_says_why_without_its_password(
    tmp_path, postgres, url, error, words, caplog, capfd
):
    shop = Shop(tmp_path)
    pull_from(shop, ORDERS, url="unused://")
    if url and "locked_out" in url:
        about = conninfo_to_dict(address := postgres.database())
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("create role locked_out login password 'other'")
            [file] = connection.execute("show hba_file").fetchone()
            with open(file, "r+") as rules:  # noqa: PTH123
                before = rules.read()
                rules.seek(0)
                rules.write("local all locked_out scram-sha-256\n" + before)
            connection.execute("select pg_reload_conf()")
        url = url.format(host="", name=about["dbname"]) + f"?host={about['host']}&port={about.get('port', 5432)}"
    found = connections(shop=url) if url else {}
    shop.settings = shop.settings.model_copy(update={"connections": found})
    with pytest.raises(error, match=words) as refused:
        pull(shop)
    assert SECRET not in "".join([str(refused.value), repr(shop.settings), caplog.text, *capfd.readouterr()])
    assert refused.value.__suppress_context__ or not refused.value.__context__


@pytest.mark.parametrize("value", ["{", '["s3cr3t"]', '{"shop": ["s3cr3t"]}', "s3cr3t"])
def test_a_wrong_setting_is_named_without_its_value(monkeypatch, value):
    monkeypatch.setenv("PERENNIAL_CONNECTIONS", value)
    with pytest.raises(BadConfig, match="PERENNIAL_CONNECTIONS") as refused:
        load_settings()
    assert SECRET not in str(refused.value)


CHANGES = st.lists(
    st.one_of(st.just("pull"), st.tuples(st.integers(1, 6), st.integers(0, 5_000), st.sampled_from("ab"))), max_size=12
)


@given(CHANGES)
@hypothesis_settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_between_pulls_the_current_rows_are_those_of_the_table(database, tmp_path_factory, changes):
    database.execute("delete from orders")
    shop = shop_of(database, tmp_path_factory.mktemp("shop"))
    at, wanted = NINE, {}
    for change in changes:
        if change == "pull":
            pull(shop)
        else:
            number, seconds, name = change
            at += timedelta(seconds=seconds)
            database.put(number, at, name)
            wanted[f"o{number}"] = name
    shop.ingest()
    assert current(shop) == wanted
    assert pull(shop) == []
