"""Landed files that are old lose what they say of persons, and a rebuild makes nearly everything of what is left."""

import json
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from intake import Shop

from contents import tables
from homes import run_day
from perennial.flows import quarantine, rebuild, retention
from perennial.flows.summary import summary
from perennial.foundation.days import Origin, Run
from perennial.sources import landed

ORDERS = """
source: shop
contract: order_lines
path: shop/*
format: csv
timezone: Europe/Berlin
columns: {order_id: nr, line_no: line, ordered_at: at, customer_ref: who, email: mail, quantity: qty, unit_price: price}
max_refused: 1
"""
PEOPLE = """
source: crm
contract: customers
path: crm/*
format: csv
timezone: Europe/Berlin
columns: {customer_ref: id, email: mail, name: name, birthday: born, updated_at: at}
"""
AGREED = """
source: agreed
contract: consents
path: agreed/*
format: jsonl
columns: {email: mail, channel: channel, state: state, recorded_at: at}
"""
OLD, NEW = date(2022, 12, 1), date(2025, 12, 31)
ORDER_HEADER, CRM_HEADER = "nr,line,at,who,mail,qty,price,remark\n", "id,mail,name,born,at\n"
FILES = {
    OLD: {
        "shop/old.csv": ORDER_HEADER
        + "1,1,2022-11-30 10:00,7,Ada@Example.com,1,9.90,for Ada\n"
        + "2,1,2022-11-30 11:00,,guest@example.com,1,5.00,\n"
        + "3,1,2022-11-30 12:00,,GUEST@example.com,2,5.00,\n"
        + "4,1,2022-11-30 12:00,8,bea@example.com,none,5.00,\n",
        "shop/old again.csv": ORDER_HEADER + "5,1,2022-11-30 10:00,7,ada@example.com,1,1.00,\n",
        "shop/old copy.csv": ORDER_HEADER + "5,1,2022-11-30 10:00,7,ada@example.com,1,1.00,\n",
        "crm/2022.csv": CRM_HEADER
        + "7,ada@example.com,Ada,1990-05-01,2022-11-30 10:00\n"
        + "8,bea@example.com,Bea,1991-05-01,2022-11-30 10:00\n",
        "agreed/old.jsonl": json.dumps(
            {"mail": "ada@example.com", "channel": "email", "state": "granted", "at": "2022-11-30T10:00:00Z"}
        ),
    },
    NEW: {
        "shop/new.csv": ORDER_HEADER + "6,1,2025-12-30 10:00,7,ada@example.com,1,7.00,\n",
        "crm/2025.csv": CRM_HEADER + "8,bea@new.example.com,Bea,1991-05-01,2025-12-30 10:00\n",
    },
}
PERSONAL = ("@", "guest", "for ada", "'ada'", "'bea'", "1990", "1991")


@pytest.fixture
def shop(homes, tmp_path):
    shop = Shop(tmp_path / "shop", homes.settings(tmp_path / "shop").warehouse)
    for source in (ORDERS, PEOPLE, AGREED):
        shop.source(source)
    return shop


def live(shop, day, files):
    shop.at(f"{day}T23:30:00+01:00")
    for name, content in files.items():
        shop.put(name, content)
    run_day(Run(day, Origin.REPLAY), shop.settings)


def copies(shop, source):
    return {entry.file.partition("/")[2]: entry for entry in landed(source, shop.settings)}


def words(shop, entry):
    """What a landed copy holds, as text."""
    path = shop.settings.landing_dir / entry.path
    return str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_text()


@pytest.mark.slow
def test_old_files_lose_what_they_say_of_persons_and_can_be_loaded_again(shop):
    live(shop, OLD, FILES[OLD])
    assert retention.pseudonymise(shop.settings) == {"files": 0}
    before = {name: (words(shop, entry), entry) for name, entry in copies(shop, "shop").items()}
    live(shop, NEW, FILES[NEW])

    orders = copies(shop, "shop")
    for name in ("old.csv", "old again.csv", "old copy.csv"):
        assert not any(word in words(shop, orders[name]).lower() for word in PERSONAL)
        assert not (shop.settings.landing_dir / before[name][1].path).exists()
    assert orders["old again.csv"].path == orders["old copy.csv"].path
    assert words(shop, orders["new.csv"]) == FILES[NEW]["shop/new.csv"]
    assert [row[0] for row in shop.rows("select content from quarantine.rows")] == ["{}"]
    assert words(shop, copies(shop, "agreed")["old.jsonl"]) == FILES[OLD]["agreed/old.jsonl"]

    people = copies(shop, "crm")
    assert people["2022.csv"].personal_rows == 1  # Ada's is in force, and she may be written to
    assert "'Ada'" in words(shop, people["2022.csv"])
    assert "'Bea'" not in words(shop, people["2022.csv"])

    assert "files that came after 2022-12-01; 4 older ones are pseudonymised" in summary(shop.settings)
    assert retention.pseudonymise(shop.settings) == {"files": 0}
    assert quarantine.replay("shop", shop.settings) == {"waiting": 1, "passing": 0, "unreadable": 1}

    known = tables(shop.settings)
    health = shop.rows("select * from marts.data_health order by source, day")
    for _, step in rebuild.steps(shop.settings):
        step()
    again = tables(shop.settings)
    assert shop.rows("select * from marts.data_health order by source, day") == health
    assert again["core.orders"][0] == known["core.orders"][0]
    assert again["marts.daily_kpis"] == known["marts.daily_kpis"]
    who = "select order_id, email from core.orders left join core.customers using (customer_id) order by order_id"
    guest = dict(shop.rows(who))
    assert guest == {"1": "ada@example.com", "2": None, "3": None, "5": "ada@example.com", "6": "ada@example.com"}
    [(guests,)] = shop.rows("select count(distinct customer_id) from core.orders where order_id in ('2', '3')")
    assert guests == 1  # two orders of one person, whoever it was
    assert shop.rows("select email, name from core.customers where customer_id in (select customer_id from "
                     "core.identities where identity = 'ref:8')") == [("bea@new.example.com", "Bea")]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("homes", ["duckdb"], indirect=True)  # nothing of it hangs on the engine
def test_a_copy_is_written_again_when_a_profile_in_it_is_replaced(shop):
    live(shop, OLD, FILES[OLD])
    live(shop, NEW, FILES[NEW])
    live(
        shop,
        date(2026, 1, 2),
        {"crm/2026.csv": CRM_HEADER + "7,ada@new.example.com,Ada,1990-05-01,2026-01-02 10:00\n"},
    )
    [old, *_] = [entry for entry in landed("crm", shop.settings) if entry.file == "crm/2022.csv"]
    assert old.personal_rows == 0
    assert not any(word in words(shop, old).lower() for word in PERSONAL)


@pytest.mark.slow
@pytest.mark.parametrize("homes", ["duckdb"], indirect=True)
def test_a_kill_at_any_place_leaves_copies_that_can_be_read(shop, monkeypatch):
    live(shop, OLD, FILES[OLD])
    shop.at(f"{NEW}T23:30:00+01:00")
    killed(monkeypatch, shop, retention, "replace_copies")
    assert all(entry.personal_rows is None for entry in landed("shop", shop.settings))
    killed(monkeypatch, shop, Path, "unlink")
    retention.pseudonymise(shop.settings)
    named = {entry.path for entry in landed("shop", shop.settings)}
    lying = {f"shop/{path.name}" for path in (shop.settings.landing_dir / "shop").iterdir()}
    assert {path for path in lying if not path.startswith("shop/.")} - {"shop/manifest.jsonl"} == named


def killed(monkeypatch, shop, where, function):
    def kill(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, function, kill)
        with pytest.raises(KeyboardInterrupt):
            retention.pseudonymise(shop.settings)
