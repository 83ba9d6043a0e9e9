"""Refused rows whose mapping or rule was corrected leave the quarantine: those that pass, once, on their own days."""

from datetime import date
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from intake import HEADER, RUN, SHOP, Shop, line

from contents import tables
from homes import run_day
from perennial.flows import quarantine
from perennial.foundation.errors import BadConfig

SOLD = ("status: status", "status: {sql: \"case status when 'sold' then 'completed' else status end\"}")
FIRST, SECOND = "shop/2026-01-05.csv", "shop/2026-01-31.csv"
FILES = {
    FIRST: HEADER + line("1") + line("2", status="sold") + line("3", status="sold", qty="none") + line("4") + line("5"),
    SECOND: HEADER
    + line("6", day="2026-01-31 10:00")
    + line("7", day="2026-01-30 10:00", status="sold")
    + line("8", day="2026-01-31 11:00")
    + "9,torn\n",
}


on_files = pytest.mark.parametrize("homes", ["duckdb"], indirect=True)  # nothing of it hangs on the engine


@pytest.fixture
def shop(homes, tmp_path):
    return Shop(tmp_path / "shop", homes.settings(tmp_path / "shop").warehouse)


def given_files(shop, files=FILES):
    for name, content in files.items():
        shop.put(name, content)


def replay(shop, **options):
    return quarantine.replay("shop", shop.settings, **options)


def test_rows_that_pass_now_are_taken_once_and_the_others_stay(shop):
    given_files(shop)
    shop.ingest()
    assert shop.file(FIRST) | {"reason": None} == {
        "status": "loaded", "rows": 5, "accepted": 3, "quarantined": 2, "reason": None,
    }  # fmt: skip
    assert replay(shop) == {"waiting": 4, "passing": 0, "unreadable": 0}

    shop.source(SHOP, status=SOLD)
    before = tables(shop.settings)
    assert replay(shop, dry_run=True) == {"waiting": 4, "passing": 2, "unreadable": 0}
    assert tables(shop.settings) == before
    assert replay(shop) == {"waiting": 4, "passing": 2, "unreadable": 0}
    assert replay(shop) == {"waiting": 2, "passing": 0, "unreadable": 0}

    assert shop.rows("select _file, _row, order_id, status, _day from raw.order_lines order by _file, _row") == [
        (FIRST, 1, "1", "completed", date(2026, 1, 5)),
        (FIRST, 2, "2", "completed", date(2026, 1, 5)),
        (FIRST, 4, "4", "completed", date(2026, 1, 5)),
        (FIRST, 5, "5", "completed", date(2026, 1, 5)),
        (SECOND, 1, "6", "completed", date(2026, 1, 31)),
        (SECOND, 2, "7", "completed", date(2026, 1, 30)),
        (SECOND, 3, "8", "completed", date(2026, 1, 31)),
    ]
    assert quarantine.reasons(shop.settings) == [
        {"source": "shop", "reasons": reasons, "rows": 1, "files": 1, "first_day": RUN.day, "last_day": RUN.day}
        for reasons in ("framing", "readable: quantity, status_known")
    ]
    assert (shop.file(FIRST)["accepted"], shop.file(FIRST)["quarantined"]) == (4, 1)
    assert shop.rows("select rows, severity, passed from raw.checks where rule = 'replayed'") == [(2, "info", True)]


@pytest.mark.slow
def test_the_next_run_is_what_it_would_have_been_without_the_mistake(shop, homes, tmp_path):
    right = Shop(tmp_path / "right", homes.settings(tmp_path / "right").warehouse)
    right.source(SHOP, status=SOLD)
    for one in (shop, right):
        given_files(one)
        one.ingest()
        run_day(RUN, one.settings)
    shop.source(SHOP, status=SOLD)
    replay(shop)
    run_day(RUN, shop.settings)
    found, expected = tables(shop.settings), tables(right.settings)
    of_the_way = {
        "raw.checks",
        "raw.files",
        "raw.forms",
        "raw.mix",
        "quarantine.rows",
        "marts.data_health",
    }  # what was judged, by which rules
    assert [table for table in expected if table not in of_the_way and found[table] != expected[table]] == []
    assert shop.rows("select count(*) from core.orders") == [(7,)]
    health = "select landed, current, quarantined from marts.data_health where source = 'shop'"
    assert shop.rows(health) == right.rows(health) == [(9, 7, 2)]


def test_the_rows_of_a_file_stay_together_so_that_a_new_version_replaces_them(shop):
    given_files(shop)
    shop.ingest()
    run_day(RUN, shop.settings)
    shop.source(SHOP, status=SOLD)
    replay(shop)
    run_day(RUN, shop.settings)
    shop.put(FIRST, HEADER + line("1"))
    shop.ingest()
    run_day(RUN, shop.settings)
    assert shop.rows("select order_id from core.orders order by order_id") == [("1",), ("6",), ("7",), ("8",)]


@on_files
def test_a_file_that_is_read_otherwise_today_keeps_its_refused_rows(shop, caplog):
    given_files(shop)
    shop.ingest()
    names = HEADER.strip().replace(",", ", ")
    shop.source(SHOP, status=SOLD, csv=("format: csv", f"format: csv\ncsv: {{header: [{names}]}}"))
    assert replay(shop) == {"waiting": 4, "passing": 0, "unreadable": 4}
    assert f"file {FIRST}: it had 5 rows and has 6 by the source file of today" in caplog.text
    assert len(shop.rows("select row from quarantine.rows")) == 4


@on_files
def test_a_landed_copy_that_is_gone_is_named(shop, caplog):
    given_files(shop)
    shop.ingest()
    shop.source(SHOP, status=SOLD)
    for copy in (shop.settings.landing_dir / "shop").glob("1-*-2026-01-05.csv"):
        copy.unlink()
    assert replay(shop) == {"waiting": 4, "passing": 1, "unreadable": 2}
    assert f"file {FIRST}" in caplog.text
    assert "is gone. Restore the landing" in caplog.text


@on_files
def test_before_the_first_run_there_is_nothing_to_replay(shop):
    with pytest.raises(BadConfig, match="Run a day first"):
        replay(shop)


STATUSES = ["completed", "sold", "verkauft", "lost"]
LINES = st.tuples(st.sampled_from(STATUSES), st.sampled_from(["1", "0", "?"]))


@pytest.mark.slow
@hypothesis_settings(max_examples=8, deadline=None)
@given(files=st.lists(st.lists(LINES, min_size=1, max_size=6), min_size=1, max_size=3))
def test_every_row_is_in_one_place_whatever_passes_when(homes, tmp_path_factory, files):
    home = tmp_path_factory.mktemp("any")
    shop = Shop(home, homes.settings(home).warehouse)
    known = {"completed"}
    rows = {(f"shop/{f}.csv", r): told for f, file in enumerate(files) for r, told in enumerate(file, 1)}
    for number, file in enumerate(files):
        lines = [line(f"{number}-{r}", status=status, qty=qty) for r, (status, qty) in enumerate(file, 1)]
        shop.put(f"shop/{number}.csv", HEADER + "".join(lines))
    everything = ("max_refused: 0.5", "max_refused: 1")
    shop.source(SHOP, held=everything)
    shop.ingest()
    for more in ("sold", "verkauft"):
        known.add(more)
        cases = " ".join(f"when '{status}' then 'completed'" for status in sorted(known))
        mapped = ("status: status", f'status: {{sql: "case status {cases} else status end"}}')
        shop.source(SHOP, held=everything, status=mapped)
        replay(shop)
        passing = {place for place, (status, qty) in rows.items() if status in known and qty == "1"}
        assert set(shop.rows("select _file, _row from raw.order_lines")) == passing
        assert set(shop.rows("select file, row from quarantine.rows")) == rows.keys() - passing
        for file, landed, accepted, quarantined in shop.rows("select file, rows, accepted, quarantined from raw.files"):
            there = SimpleNamespace(
                landed=sum(place[0] == file for place in rows), accepted=sum(place[0] == file for place in passing)
            )
            assert (landed, accepted, quarantined) == (there.landed, there.accepted, there.landed - there.accepted)
