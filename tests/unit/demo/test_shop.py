"""The demo shop's files: the same for the same seed, however they are cut into days, and as dirty as recorded."""

import csv
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from perennial.demo import Activity, Dirt, build_shop, read_shop, write_days
from perennial.demo.files import EXPORTS
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings, load_settings

CLEAN = Dirt(**dict.fromkeys(Dirt.__dataclass_fields__, 0.0))
DIRTY = Dirt(duplicate=0.03, late=0.03, broken_date=0.02, negative_quantity=0.02, bad_address=0.03)
START, END = date(2024, 11, 20), date(2025, 1, 10)


def settings_in(home: Path) -> Settings:
    return load_settings(home=home, now="2026-02-01T09:30:00+01:00")


def contents(settings: Settings) -> dict[str, bytes]:
    return {
        str(path.relative_to(settings.inbox_dir)): path.read_bytes()
        for path in sorted(settings.inbox_dir.rglob("*"))
        if path.is_file()
    }


def recorded(settings: Settings) -> dict[tuple[str, str], int]:
    """Rows by source and kind, over all days."""
    table = pq.read_table(settings.home / "demo_truth" / "dirt.parquet")
    totals: dict[tuple[str, str], int] = {}
    for row in table.to_pylist():
        totals[row["source"], row["kind"]] = totals.get((row["source"], row["kind"]), 0) + row["rows"]
    return totals


def read_csv(settings: Settings, source: str, delimiter: str = ",") -> list[tuple]:
    """All rows of clean CSV exports of one shape."""
    pattern = settings.inbox_dir / source / "*.csv"
    query = "select * from read_csv($1, all_varchar = true, delim = $2, header = true)"
    return duckdb.execute(query, [str(pattern), delimiter]).fetchall()


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    one, two, other = (settings_in(tmp_path / name) for name in ("one", "two", "other"))
    build_shop(one, 600, START, END, seed=7)
    build_shop(two, 600, START, END, seed=7)
    build_shop(other, 600, START, END, seed=8)
    assert contents(one) == contents(two)
    assert contents(one) != contents(other)
    truths = [(home.home / "demo_truth" / "customers.parquet").read_bytes() for home in (one, two)]
    assert truths[0] == truths[1]


def test_days_written_later_or_apart_equal_days_written_at_once(tmp_path):
    whole, parts = settings_in(tmp_path / "whole"), settings_in(tmp_path / "parts")
    build_shop(whole, 600, START, END, seed=7, dirt=DIRTY)
    build_shop(parts, 600, START, END, seed=7, dirt=DIRTY)
    built = contents(whole)
    write_days(whole, END + timedelta(days=1), END + timedelta(days=40))
    for first, days in ((1, 1), (2, 20), (22, 19)):
        write_days(parts, END + timedelta(days=first), END + timedelta(days=first + days - 1))
    assert contents(whole) == contents(parts)
    assert len(contents(whole)) > len(built)
    assert recorded(whole) == recorded(parts)

    for path in parts.inbox_dir.rglob("*.*"):
        path.unlink()
    middle = date(2024, 12, 15)
    write_days(parts, middle + timedelta(days=1), END)
    write_days(parts, START, middle)
    assert contents(parts) == built


def test_chunks_of_people_share_files_and_nobody_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("perennial.demo.people.CHUNK", 200)
    settings = settings_in(tmp_path)
    build_shop(settings, 600, START, END, dirt=CLEAN)
    profiles = {row[0] for row in read_csv(settings, "customers")}
    assert profiles == {f"c{number:06d}" for number in range(600)}
    orders = {row[0] for row in read_csv(settings, "web_orders")}
    assert {order[5:8] for order in orders} >= {"-00", "-01", "-02"}


def test_a_shop_that_is_there_is_left_alone_and_another_is_refused(tmp_path):
    settings = settings_in(tmp_path)
    first = build_shop(settings, 500, START, date(2024, 12, 1))
    before = contents(settings)
    assert first["files"] == len(before)
    assert build_shop(settings, 500, START, date(2024, 12, 1))["files"] == 0
    assert contents(settings) == before
    with pytest.raises(BadConfig, match="describes another demo shop"):
        build_shop(settings, 501, START, date(2024, 12, 1))


def test_a_build_that_was_killed_is_finished_by_the_next(tmp_path):
    whole, killed = settings_in(tmp_path / "whole"), settings_in(tmp_path / "killed")
    build_shop(whole, 500, START, date(2024, 12, 1))
    build_shop(killed, 500, START, date(2024, 12, 1))
    (killed.home / "demo_truth" / "shop.json").unlink()
    (killed.inbox_dir / "web_orders" / "2024-11-25.csv").unlink()
    half = killed.home / "demo_truth" / ".spool" / "web_orders"
    half.mkdir(parents=True)
    (half / "20052").write_bytes(b"half a li")
    build_shop(killed, 500, START, date(2024, 12, 1))
    assert contents(killed) == contents(whole)
    assert recorded(killed) == recorded(whole)


@pytest.mark.parametrize(
    ("customers", "start", "end", "message"),
    [(499, START, END, "499 is out of range"), (500, END, START, "is after end")],
)
def test_impossible_parameters_are_refused(tmp_path, customers, start, end, message):
    with pytest.raises(BadConfig, match=message):
        build_shop(settings_in(tmp_path), customers, start, end)


def test_days_outside_of_the_shop_are_refused(tmp_path):
    settings = settings_in(tmp_path)
    with pytest.raises(BadConfig, match="no demo shop here yet"):
        write_days(settings, START, START)
    build_shop(settings, 500, START, date(2024, 12, 1))
    with pytest.raises(BadConfig, match="this shop has the days 2024-11-20 to 2025-12-01"):
        write_days(settings, date(2025, 12, 1), date(2025, 12, 2))
    (settings.home / "demo_truth" / "shop.json").write_text("{}")
    with pytest.raises(BadConfig, match="not the description of a demo shop"):
        read_shop(settings)


def test_a_clean_shop_has_no_dirt(tmp_path):
    settings = settings_in(tmp_path)
    build_shop(settings, 600, START, END, dirt=CLEAN)
    kinds = {kind for (_, kind), rows in recorded(settings).items() if rows}
    assert kinds == {"rows", "return", "superseded"}
    orders = read_csv(settings, "web_orders")
    assert all(row[4] for row in orders), "a guest has no e-mail address"
    assert all(int(row[8]) > 0 for row in orders if row[14] != "returned")


def test_a_quieter_shop_sells_less_and_sees_fewer_clicks(tmp_path):
    usual, quiet = settings_in(tmp_path / "usual"), settings_in(tmp_path / "quiet")
    rows = build_shop(usual, 500, START, END)["rows"]
    fewer = build_shop(quiet, 500, START, END, activity=Activity(pace=0.5, tracked=0.5))["rows"]
    assert 0.35 < fewer["web_orders"] / rows["web_orders"] < 0.75
    assert 0.1 < fewer["web_interactions"] / rows["web_interactions"] < 0.4
    assert fewer["customers"] == rows["customers"]
    assert read_shop(quiet).activity == Activity(0.5, 0.5)


def test_recorded_dirt_is_the_dirt_in_the_files(tmp_path):
    settings = settings_in(tmp_path)
    files_clean = dict.fromkeys(
        ("renamed_header", "misspelt_header", "other_encoding", "byte_order_mark", "blank_lines", "extra_column"), 0.0
    )
    build_shop(settings, 1000, START, END, dirt=replace(DIRTY, **files_clean))
    web, dirt = read_csv(settings, "web_orders"), recorded(settings)

    assert len(web) == dirt["web_orders", "rows"]
    unbroken = [row for row in web if row[2] and row[2].startswith("202") and "-13-" not in row[2]]
    assert len(web) - len(unbroken) == dirt["web_orders", "broken_date"]
    assert (
        sum(row[14] == "completed" and int(row[8]) < 0 for row in web)
        + sum(row[14] == "cancelled" and int(row[8]) < 0 for row in web)
        == dirt["web_orders", "negative_quantity"]
    )
    assert sum(row[14] == "pending" for row in web) == dirt["web_orders", "superseded"]
    assert sum(row[14] == "returned" for row in web) == dirt["web_orders", "return"]
    assert len(web) - len(set(web)) == dirt["web_orders", "duplicate"]
    addresses = [row[4] for row in web if row[4]]
    good = [email for email in addresses if email.count("@") == 1 and email.partition("@")[2].startswith("example.")]
    assert len(addresses) - len(good) == dirt["web_orders", "bad_address"]
    share = dirt["web_orders", "duplicate"] / dirt["web_orders", "rows"]
    assert share == pytest.approx(DIRTY.duplicate, rel=0.35)

    tills = read_csv(settings, "store_tills", ";")
    assert len(tills) == dirt["store_tills", "rows"]
    guests = sum(not row[4] and not row[5] for row in tills)
    assert 0 <= guests - dirt["store_tills", "guest"] <= dirt["store_tills", "duplicate"]


def test_late_rows_arrive_one_to_ten_days_after_they_happened(tmp_path):
    settings = settings_in(tmp_path)
    build_shop(settings, 1000, START, END, dirt=replace(CLEAN, late=0.05))
    late = []
    for path in sorted((settings.inbox_dir / "web_orders").iterdir()):
        day = date.fromisoformat(path.stem)
        for fields in list(csv.reader(path.read_text().splitlines()))[1:]:
            behind = (day - date.fromisoformat(fields[2][:10])).days
            if behind and fields[14] in ("completed", "cancelled"):
                late.append(behind)
    # An order that was pending is exported with its outcome one day later; that is no dirt.
    pending = recorded(settings)["web_orders", "superseded"]
    assert sum(behind > 1 for behind in late) > 20
    assert len(late) == pytest.approx(recorded(settings)["web_orders", "late"] + pending, abs=10)
    assert max(late) == 10


def test_damaged_files_are_damaged_as_recorded(tmp_path):
    settings = settings_in(tmp_path)
    damage = replace(
        CLEAN, renamed_header=0.3, misspelt_header=0.2, other_encoding=0.4, byte_order_mark=0.3, blank_lines=0.3,
        extra_column=0.3,
    )  # fmt: skip
    build_shop(settings, 500, START, END, dirt=damage)
    table = pq.read_table(settings.home / "demo_truth" / "dirt.parquet").to_pylist()
    seen = set()
    for row in table:
        source, kind = row["source"], row["kind"]
        export = EXPORTS[source]
        if not export.header or kind in ("rows", "return", "superseded"):
            continue
        content = (settings.inbox_dir / source / f"{row['day']}.csv").read_bytes()
        header = content.splitlines()[0].decode("utf-8-sig")
        seen.add(kind)
        match kind:
            case "renamed_header":
                assert export.renamed[1] in header
            case "misspelt_header":
                assert export.misspelt[1] in header
            case "extra_column":
                assert header.endswith(export.extra[0])
            case "byte_order_mark":
                assert content.startswith(b"\xef\xbb\xbf")
            case "blank_lines":
                assert content.startswith(b"\n") or b"\n\n" in content
            case "other_encoding":
                assert content.decode(export.second_encoding)
    assert seen == {
        "renamed_header", "misspelt_header", "extra_column", "byte_order_mark", "blank_lines", "other_encoding",
    }  # fmt: skip
    with pytest.raises(UnicodeDecodeError):
        b"".join(path.read_bytes() for path in (settings.inbox_dir / "store_tills").iterdir()).decode()
