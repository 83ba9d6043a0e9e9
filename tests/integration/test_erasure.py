"""A person who came in by every way, and asks what is held and to be erased: nothing is left but what the docs say."""

import gzip
import json
import sqlite3
from contextlib import closing
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from intake import Shop
from sqlalchemy import MetaData, select

from homes import run_day
from outbox import CAMPAIGN, OCCURRENCE, TEMPLATE, new_message
from perennial.flows import erasure, persons
from perennial.flows.campaigns import OUTBOX
from perennial.flows.delivery import deliver
from perennial.flows.mirror import DECISIONS
from perennial.foundation.days import Origin, Run, current_time
from perennial.foundation.errors import BadConfig
from perennial.ledger import EventKind, Ledger, NewCampaignRun, NewEvent, SetAside, open_ledger
from perennial.ledger.store import connect
from perennial.warehouse import open_warehouse

SOURCES = """
source: shop
contract: order_lines
path: shop/*
format: csv
timezone: Europe/Berlin
columns: {order_id: nr, line_no: line, ordered_at: at, customer_ref: who, email: mail, phone: tel, quantity: qty,
          unit_price: price}
max_refused: 0.5
---
source: crm
contract: customers
path: crm/*
format: csv
timezone: Europe/Berlin
columns: {customer_ref: id, email: mail, name: name, birthday: born, loyalty_card: card, referred_by: friend,
          updated_at: at}
---
source: agreed
contract: consents
path: agreed/*
format: jsonl
columns: {customer_ref: who, email: mail, channel: channel, state: state, recorded_at: at, proof: proof}
---
source: support
contract: interactions
path: support/*
format: jsonl
columns: {event_id: id, customer_ref: who, email: mail, device_id: device, channel: channel, kind: kind,
          occurred_at: at, text: said, properties: more}
"""
TABLE = """
source: people
contract: customers
format: jsonl
timezone: Europe/Berlin
database: {connection: crm, table: people, key: id, cursor: at}
columns: {customer_ref: id, email: mail, updated_at: at}
"""
DAY = date(2026, 1, 31)
ORDERS = "nr,line,at,who,mail,tel,qty,price\n"
HELD = ORDERS + "h1,1,2026-01-30 10:00,zebulon-7,zebulon@marker.example,,none,5.00\n"
FILES = {
    "shop/1.csv": ORDERS
    + "1,1,2026-01-30 10:00,zebulon-7,Zebulon@Marker.Example,+49 30 987654321,1,9.90\n"
    + "2,1,2026-01-30 11:00,,zebulon@marker.example,,1,5.00\n"
    + "3,1,2026-01-30 12:00,8,bea@mail.example,,2,7.00\n"
    + "4,1,2026-01-30 12:00,zebulon-7,,,none,5.00\n",  # refused
    "shop/2.csv": ORDERS + "5,1,2026-01-30 12:00,8,bea@mail.example,,2,7.00\n",
    "shop/held.csv.gz": gzip.compress(HELD.encode()),
    "crm/1.csv": "id,mail,name,born,card,friend,at\n"
    "zebulon-7,zebulon@marker.example,Zebulon M,1970-02-03,zebulon-card,,2026-01-30 10:00\n"
    "8,bea@mail.example,Bea,1991-05-01,,zebulon-7,2026-01-30 10:00\n",
    "agreed/1.jsonl": json.dumps(
        {"who": "zebulon-7", "mail": "zebulon@marker.example", "channel": "email", "state": "granted",
         "at": "2026-01-30T10:00:00Z", "proof": "zebulon signed"}
    ) + "\n" + json.dumps(
        {"mail": "bea@mail.example", "channel": "email", "state": "granted", "at": "2026-01-30T10:00:00Z"}
    ),
    "support/1.jsonl": json.dumps(
        {"id": "e1", "who": "zebulon-7", "device": "zebulon-phone", "channel": "support", "kind": "complaint",
         "at": "2026-01-30T10:00:00Z", "said": "My name is Zebulon", "more": {"by": "zebulon"}}
    ) + "\n" + json.dumps(
        {"id": "e2", "device": "zebulon-phone", "channel": "web", "kind": "search", "at": "2026-01-30T09:00:00Z"}
    ),
}  # fmt: skip
KILLS = [
    (erasure, "_from_landing"),
    (erasure, "leave_out_erased"),
    (erasure, "_from_mailbox"),
    (Ledger, "replace_frozen"),
    (Ledger, "erase_person"),
    (erasure.rebuild, "_exchange"),
    (erasure, "_remove_publications"),
]
MARKS = ("zebulon", "987654321", "1970-02-03")


@pytest.fixture
def shop(homes, tmp_path):
    settings = homes.settings(tmp_path / "shop")
    shop = Shop(tmp_path / "shop", settings.warehouse, settings.ledger)
    shop.engine = homes.engine
    for source in SOURCES.split("---\n"):
        shop.source(source)
    write_to_everybody(shop)
    live(shop, FILES)
    return shop


def live(shop, files):
    for name, content in files.items():
        shop.put(name, content)
    run_day(Run(DAY, Origin.REPLAY), shop.settings)


def write_to_everybody(shop):
    """A campaign of two mails, frozen, queued and delivered; a third is planned for the one who will be erased."""
    settings, run = shop.settings, Run(DAY, Origin.DEMO)
    people = {"zebulon-7": "zebulon@marker.example", "8": "bea@mail.example"}
    decided = [
        {"campaign": CAMPAIGN, "send_day": run.send_day, "occurrence": OCCURRENCE, "customer_id": one, "reason": "send",
         "experiment": CAMPAIGN, "arm": "treated", "variant": "a"}
        for one in people
    ]  # fmt: skip
    out = [{"customer_id": one, "address": address, "context": address} for one, address in people.items()]
    with open_ledger(settings) as ledger:
        files = [
            ledger.write_frozen(f"{CAMPAIGN}.{kind}", run.send_day, pa.Table.from_pylist(rows, schema))
            for kind, rows, schema in (("decisions", decided, DECISIONS), ("outbox", out, OUTBOX))
        ]
        frozen = NewCampaignRun(CAMPAIGN, run.send_day, OCCURRENCE, *files, {"send": 2})
        ledger.freeze([frozen], [TEMPLATE], run.origin)
        rows = [new_message(0, settings, customer_id=one, address=address) for one, address in people.items()]
        later = current_time(settings) + timedelta(days=1)
        waiting = new_message(0, settings, customer_id="zebulon-7", address=people["zebulon-7"], occurrence="next",
                              not_before=later)  # fmt: skip
        ledger.queue(run, CAMPAIGN, "mailbox", [*rows, waiting])
    deliver(settings)
    with open_ledger(settings) as ledger:
        [sent] = [row for row in ledger.messages_of("zebulon-7") if row["state"] == "accepted"]
        ledger.unsubscribe(sent["message_id"], method="page", proof={"text_version": "1", "by": "zebulon"})
        ledger.record_events([event(sent["message_id"], settings, "e1")])
        ledger.answer(sent["message_id"], "nps", 3, "Zebulon waited for weeks")
        aside = [SetAside("unknown kind", json.dumps({"email": one})) for one in ("Zebulon@marker.example", "b@c.de")]
        ledger.take_in("test", [], aside)
    journal = next((settings.ledger_dir / "journal").glob("*.journal"))
    line = {"result": sent["message_id"], "verdict": "accepted", "reply": "250 for ZEBULON@marker.example"}
    with journal.open("a") as file:
        file.write(json.dumps(line) + "\n")
    shop.message_id = sent["message_id"]


def event(message_id, settings, event_id):
    told = {"email": "zebulon@marker.example"}
    return NewEvent(event_id, message_id, EventKind.OPENED, current_time(settings), provider="test", details=told)


def places(shop):
    """Where one of the marks stands: files below the home, by their bytes and by what they hold, and tables."""
    settings = shop.settings
    found = set()
    for path in settings.home.rglob("*"):
        if path.is_file() and not path.is_relative_to(settings.inbox_dir) and "include" not in path.parts:
            text = path.read_bytes().decode("latin-1")
            if path.suffix == ".gz":
                text += gzip.decompress(path.read_bytes()).decode()
            if path.suffix == ".parquet":
                text += str(pq.ParquetFile(path).read().to_pylist())
            if named(text + path.name):
                found.add(path.relative_to(settings.home).parts[0] + "/" + path.suffix)
    with open_warehouse(settings) as warehouse:
        for table in warehouse.tables():
            if named(str(warehouse.query(f"select * from {table}").to_pylist())):
                found.add(table)
    engine = connect(settings)
    with engine.connect() as connection:
        tables = MetaData()
        tables.reflect(connection)
        found |= {f"ledger: {table.name}" for table in tables.sorted_tables
                  if named(str(connection.execute(select(table)).all()))}  # fmt: skip
    engine.dispose()
    return found


def named(text):
    return any(mark in text.lower() for mark in MARKS)


def killed(shop, monkeypatch, where, function):
    """Erase, and be killed where this is called."""

    def kill(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, function, kill)
        with pytest.raises(KeyboardInterrupt):
            erasure.erase(["zebulon-7"], shop.settings, by="ann", why="asked")


@pytest.mark.slow
def test_a_person_is_handed_all_and_erased_from_all(shop, tmp_path, monkeypatch):
    settings = shop.settings
    before = places(shop)
    assert {"landing/.csv", "landing/.gz", "landing/.jsonl", "mailbox/.eml", "ledger/.journal", "ledger/.parquet",
            "published/.duckdb", "quarantine.rows", "raw.customers", "core.customers", "core.identities",
            "campaigns.decisions", "ledger: messages", "ledger: message_events",
            "ledger: survey_answers", "ledger: consents", "ledger: set_aside_events"} <= before  # fmt: skip
    earnings = "cast(sum(orders) as bigint) as orders, cast(sum(net_revenue) as decimal(14, 2)) as revenue"
    sums = f"select {earnings} from marts.daily_kpis"
    earned = shop.rows(sums)

    figures = persons.export("Zebulon@Marker.Example", tmp_path / "export", settings)
    assert {"raw.order_lines": 2, "raw.customers": 1, "raw.interactions": 2, "quarantine.rows": 1,
            "campaigns.decisions": 1, "ledger.messages": 2, "ledger.message_events": 2, "ledger.consents": 2,
            "ledger.survey_answers": 1, "ledger.set_aside_events": 1,
            "ledger.suppressions": 1}.items() <= figures.items()  # fmt: skip
    written = "".join(path.read_text() for path in (tmp_path / "export").rglob("*.json*"))
    for told in ("Zebulon M", "1970-02-03", "zebulon signed", "My name is Zebulon", "+4930987654321", "Ada0"):
        assert told in written
    assert "bea@mail.example" not in written
    with pytest.raises(BadConfig, match="is not empty"):
        persons.export("zebulon-7", tmp_path / "export", settings)

    for where, function in KILLS if shop.engine == "duckdb" else ():  # a rebuild more
        killed(shop, monkeypatch, where, function)
    told = erasure.erase(["zebulon-7"], settings, by="ann", why="asked")
    assert told.pop("waiting") == []
    [(erasure_id, done)] = told.items()
    assert {"landing", "mailbox", "journals", "frozen_files", "ledger", "warehouse", "published"} <= set(done)
    assert done["landing"]["files"] == 5
    assert {path.rpartition("/")[2] for path in done["files_of_yours"]["left_to_you"]} == {
        "1.csv", "held.csv.gz", "1.jsonl"
    }  # fmt: skip
    assert "mailbox" in done["providers"]["left_to_you"]
    assert places(shop) == set()
    assert set(erasure.erase(["Zebulon@marker.example"], settings, by="bob", why="again")) == {"waiting", erasure_id}
    with pytest.raises(BadConfig, match="Nobody is known by this address"):
        erasure.erase(["nobody@marker.example"], settings, by="ann", why="asked")

    assert shop.rows(sums) == earned
    assert shop.rows("select email from core.customers where email is not null") == [("bea@mail.example",)]
    assert shop.rows("select name, referred_by from core.customers where name is not null") == [("Bea", None)]
    with open_ledger(settings) as ledger:
        assert ledger.counts_by_state() == {"accepted": 2, "cancelled": 1}
        assert not ledger.is_behind
        told = [row for batch in ledger.changes("audit_log", None) for row in batch]
        assert [row["subject"] for row in told if row["action"] == "erase"] == [erasure_id]

    come_back(shop)


def come_back(shop):
    """Old files once more, a late event, a mail: nobody is brought back, and what is new counts."""
    again = {
        "shop/again.csv": FILES["shop/1.csv"] + "9,1,2026-01-31 10:00,,ZEBULON@marker.example,,1,3.00\n",
        "crm/again.csv": FILES["crm/1.csv"],
        "crm/friend.csv": FILES["crm/1.csv"].splitlines()[0] + "\n9,,Cy,,,zebulon-7,2026-01-30 10:00\n",
        "shop/refused.csv": ORDERS + "7,1,2026-01-30 12:00,zebulon-7,,,none,5.00\n"
        "8,1,2026-01-30 12:00,8,bea@mail.example,,2,7.00\n",
        "support/again.jsonl": FILES["support/1.jsonl"] + "\n" + FILES["support/1.jsonl"],
        "agreed/again.jsonl": FILES["agreed/1.jsonl"] + "\n\n",
    }
    with open_ledger(shop.settings) as ledger:
        assert ledger.record_events([event(shop.message_id, shop.settings, "late")]) == 1
    live(shop, again)
    assert places(shop) == set()
    orders = shop.rows("select order_id, customer_id from core.orders order by 1")
    assert [order for order, _ in orders] == ["1", "2", "3", "5", "8", "9"]
    assert dict(orders)["9"] is None
    with open_ledger(shop.settings) as ledger:
        message = new_message(0, shop.settings, customer_id="new", address="Zebulon@marker.example", occurrence="late")
        ledger.queue(Run(DAY, Origin.DEMO), CAMPAIGN, "mailbox", [message])
        assert ledger.claim("lease", "mailbox", 5, timedelta(minutes=15))
        assert list(ledger.objections("lease").values()) == ["erased"]


@pytest.mark.slow
def test_an_erasure_waits_for_a_database_whose_newest_pull_is_needed(tmp_path, monkeypatch):
    its = tmp_path / "its.sqlite"
    monkeypatch.setenv("PERENNIAL_CONNECTIONS", json.dumps({"crm": f"sqlite:///{its}"}))
    shop = Shop(tmp_path / "shop")
    shop.source(TABLE)

    def now_in_the_database(*row):
        with closing(sqlite3.connect(its)) as connection, connection:
            connection.execute("create table if not exists people (id text, mail text, at text)")
            connection.execute("delete from people")
            connection.execute("insert into people values (?, ?, ?)", row)

    now_in_the_database("zebulon-7", "zebulon@marker.example", "2026-01-30 10:00:00")
    live(shop, {})
    told = erasure.erase(["zebulon-7"], shop.settings, by="ann", why="asked")
    assert "whose newest one is still needed" in told.pop("waiting")[0]
    assert not {"landing", "warehouse", "published"} & set(*told.values())
    assert {"landing/.gz", "core.customers"} <= places(shop)
    now_in_the_database("8", "bea@mail.example", "2026-01-31 10:00:00")
    live(shop, {})
    told = erasure.erase(["zebulon-7"], shop.settings, by="ann", why="asked")
    assert told.pop("waiting") == []
    assert {"landing", "warehouse", "published"} <= set(*told.values())
    assert places(shop) == set()
    assert shop.rows("select email from core.customers where email is not null") == [("bea@mail.example",)]
