"""
PostgreSQL makes what DuckDB makes: every table, column by column, and the publication.

Over two days of the demo shop as they are: a file that cannot be read and is mended, one that comes late, mail that is
answered, and then a rebuild, in one database that warehouse and ledger share (with two, every other test has them). And
over a year of a real shop.
"""

import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import pyarrow as pa
import pytest

from conformance import TOLD, differences, held
from contents import copies, messages
from homes import Homes, reopened
from online_retail import LAST as LAST_OF_THE_YEAR
from online_retail import YEAR, Shop, settings_of
from perennial.flows import demo, rebuild
from perennial.flows.day import steps
from perennial.foundation.days import run_of, yesterday
from perennial.foundation.settings import Settings, load_settings

FIRST, LAST = date(2025, 12, 1), date(2026, 1, 27)


@dataclass(frozen=True)
class Lived:
    """What a home held after its two days, and after the rebuild."""

    settings: Settings
    after_days: dict
    publications: list
    messages: dict
    rebuilt: dict


def live(shop, settings):
    shutil.copytree(shop.home, settings.home, symlinks=True, dirs_exist_ok=True)
    settings = reopened(settings)
    broken = settings.inbox_dir / "web_orders" / f"{LAST}.csv"
    right = broken.read_text()
    broken.write_text(right.replace(",created,", ",creatd,", 1))
    publications = [run_newest_day(settings)]

    settings = demo.advance(settings)
    broken.write_text(right)
    late = settings.inbox_dir / "web_orders" / f"{LAST - timedelta(days=9)}-late.csv"
    header, *lines = right.splitlines(keepends=True)
    late.write_text(header + "".join(lines[:4]).replace(str(LAST), str(LAST - timedelta(days=9))))
    publications.append(run_newest_day(settings))
    after_days = held(settings)

    for _, step in rebuild.steps(settings):
        step()
    return Lived(settings, after_days, publications, messages(settings), held(settings))


def run_newest_day(settings):
    """The name of the publication."""
    figures = {name: step() for name, step in steps(run_of(yesterday(settings), settings), settings)}
    return figures["publish"]["published"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    settings = load_settings(home=tmp_path_factory.mktemp("shop") / "home")
    demo.build(settings, 500, FIRST, LAST)
    return settings


@pytest.fixture(scope="module")
def on_duckdb(shop, tmp_path_factory):
    return live(shop, Homes("duckdb", None).settings(tmp_path_factory.mktemp("duckdb") / "home"))


@pytest.mark.slow
def test_postgresql_makes_what_duckdb_makes(shop, on_duckdb, postgres, tmp_path):
    found = live(shop, Homes("postgresql", postgres, shared=True).settings(tmp_path / "home"))

    for lived in (on_duckdb, found):
        files = lived.after_days["raw.files"][1].to_pylist()
        assert {file["status"] for file in files} == {"loaded", "refused"}
        assert [file["version"] for file in files if file["file"] == f"web_orders/{LAST}.csv"] == [1, 2]
        assert set(copies(lived.settings).values()) == {1}
    assert len(on_duckdb.after_days) > 45
    assert differences(on_duckdb.after_days, found.after_days, found.settings) == []
    assert differences(on_duckdb.rebuilt, found.rebuilt, found.settings) == []
    assert found.publications == on_duckdb.publications
    assert found.messages == on_duckdb.messages
    assert copies(found.settings) == copies(on_duckdb.settings)


@pytest.mark.slow
@pytest.mark.skipif(not YEAR.exists(), reason=f"the data set is not at {YEAR} (examples/online_retail/README.md)")
def test_postgresql_makes_of_the_real_year_what_duckdb_makes(at_once, retail_files, postgres, tmp_path):
    found = Shop(tmp_path, retail_files, partial(settings_of, warehouse=postgres.database()))
    found.live_through([LAST_OF_THE_YEAR])
    settings = [shop.on(LAST_OF_THE_YEAR) for shop in (at_once, found)]
    expected, made = map(held, settings)
    assert expected["staging.order_lines"][1].num_rows > 500_000
    assert differences(expected, made, settings[1]) == []
    assert (
        settings[0].published_dir.joinpath("latest").readlink()
        == settings[1].published_dir.joinpath("latest").readlink()
    )


def test_a_difference_is_told_with_table_key_column_and_values(tmp_path):
    columns = {"order_id": "text", "units": "bigint", "share": "double"}
    one = pa.table({"order_id": ["a", "b", "c"], "units": [1, 2, None], "share": [0.1, 3e9, None]})
    two = pa.table({"order_id": ["a", "b", "d"], "units": [1, 3, 4], "share": [0.1 + 1e-12, 3e9 + 1, 0.5]})
    settings = load_settings(home=tmp_path, now="2026-02-01T09:30:00+01:00")

    def told(expected, found):
        return differences({"core.orders": expected}, {"core.orders": found}, settings)

    assert told((columns, one), (columns, one)) == []
    assert told((columns, one), (columns, two)) == [
        "core.orders: order_id d: 0 and 1 rows",
        "core.orders: order_id c: 1 and 0 rows",
        "core.orders: order_id b: units is 2 and 3",
    ]
    assert told((columns, one), (columns, pa.concat_tables([one] * 2)))[0] == "core.orders: order_id a: 1 and 2 rows"
    assert told((columns, one), (columns | {"units": "double"}, one))[0].startswith("core.orders: has columns ")
    assert differences({"rules.x": (columns, one)}, {}, settings) == ["rules.x: is in one warehouse only"]
    many = pa.table({"order_id": [str(n) for n in range(99)], "units": range(99), "share": [0.0] * 99})
    assert len(told((columns, one.slice(0, 0)), (columns, many))) == TOLD
