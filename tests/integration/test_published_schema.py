"""On a server, BI tools read the schema `published` by SQL: whole tables, documented, while a day is being run."""

import threading
from datetime import date

import psycopg
import pytest
import yaml
from test_publishing import CONTRACT, latest

from contents import orders
from homes import reopened, run_newest_day
from perennial.flows import demo
from perennial.foundation.days import yesterday
from perennial.warehouse import open_warehouse
from perennial.warehouse.engine import type_of
from perennial.warehouse.snapshot import open_snapshot

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("homes", ["postgresql"], indirect=True)]
FIRST, LAST = date(2025, 12, 15), date(2026, 1, 28)


@pytest.fixture(scope="module")
def shop(homes, tmp_path_factory):
    """A home in which a day has been run. Not to be written to: copy it."""
    settings = homes.settings(tmp_path_factory.mktemp("shop") / "home")
    demo.build(settings, 500, FIRST, LAST)
    settings = reopened(settings)
    run_newest_day(settings)
    return settings


@pytest.fixture
def home(shop, homes, tmp_path):
    return homes.copy(shop, tmp_path / "home")


def connect(settings, user=None):
    return psycopg.connect(settings.warehouse, autocommit=True, **({"user": user} if user else {}))


@pytest.fixture
def analyst(home):
    """A role that may read what is published and nothing else, as docs/installation.md makes one."""
    with connect(home) as owner:
        owner.execute("create role analyst login")
        owner.execute("grant usage on schema published to analyst")
        owner.execute("grant select on all tables in schema published to analyst")
        owner.execute("alter default privileges in schema published grant select on tables to analyst")
    yield "analyst"
    with connect(home) as owner:
        owner.execute("drop owned by analyst")
        owner.execute("drop role analyst")


def test_it_holds_what_the_snapshot_holds(shop):
    with open_snapshot(latest(shop), shop) as snapshot, open_warehouse(shop) as warehouse:
        public = [table for table in snapshot.tables() if not table.startswith("internal.")]
        assert {f"published.{table.partition('.')[2]}" for table in public} == {
            table for table in warehouse.tables() if table.startswith("published.")
        }
        for table in public:
            expected = snapshot.query(f"select * from {table}")
            found = warehouse.query(f"select * from published.{table.partition('.')[2]}")
            types = [{field.name: type_of(field.type) for field in rows.schema} for rows in (expected, found)]
            assert types[0] == types[1], table
            assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, expected.to_pylist())), table


def test_every_table_and_column_is_documented(shop):
    with connect(shop) as reader:
        told = reader.execute(
            "select relname, attname, col_description(attrelid, attnum), obj_description(attrelid, 'pg_class')"
            " from pg_attribute join pg_class on attrelid = pg_class.oid"
            " where relnamespace = 'published'::regnamespace and relkind = 'r' and attnum > 0"
        ).fetchall()
    promised = {
        (table.partition(".")[2], column) for table, columns in yaml.safe_load(CONTRACT.read_text()).items()
        for column in columns
    }  # fmt: skip
    assert {(table, column) for table, column, *_ in told} == promised
    assert [row for row in told if not row[2] or not row[3]] == []


def test_an_analyst_reads_whole_tables_while_a_day_is_run(home, analyst):
    days, errors, over = set(), [], threading.Event()

    def read():
        with connect(home, analyst) as reader:
            while not over.is_set():
                try:
                    days.add(
                        reader.execute(
                            "select max(day), max(as_of_date), count(*) from published.daily_kpis"
                        ).fetchone()
                    )
                except psycopg.Error as error:
                    errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        after = demo.advance(home)
        run_newest_day(after)
    finally:
        over.set()
        thread.join()
    assert errors == []
    assert [(day, as_of) for day, as_of, _ in sorted(days)] == [(LAST, LAST), (yesterday(after),) * 2]
    assert len({number for *_, number in days}) == 2  # a day more, and never a table half full
    found = orders(after)
    assert found["published"] == found["warehouse"] == found["snapshot"] == found["Parquet"]

    with connect(home, analyst) as reader:
        for table in ("raw.order_lines", "core.customers", "marts.daily_kpis"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(f"select count(*) from {table}")
