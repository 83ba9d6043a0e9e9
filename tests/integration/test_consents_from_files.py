"""What files say about consent reaches the ledger, once, with its proof, and holds mail at the last moment."""

import json
from datetime import date, timedelta

import pytest
from intake import Shop

from homes import run_day
from outbox import fill
from perennial.foundation.days import Origin, Run
from perennial.ledger import address_hash, open_ledger
from perennial.ledger.store import connect
from perennial.ledger.tables import consents

PEOPLE = """
source: crm
contract: customers
path: crm/*
format: csv
timezone: Europe/Berlin
columns: {customer_ref: id, email: mail, updated_at: at}
"""
AGREED = """
source: agreed
contract: consents
path: agreed/*
format: jsonl
columns: {customer_ref: who, email: mail, channel: channel, topic: topic, state: state, recorded_at: at, method: how,
          text_version: words, proof: proof}
"""
DAY = date(2026, 1, 31)


def line(**said):
    return json.dumps({"channel": "email", "state": "granted", "at": "2026-01-30T10:00:00Z"} | said) + "\n"


def rows(settings):
    engine = connect(settings)
    with engine.connect() as connection:
        found = (
            connection.execute(consents.select().order_by(consents.c.recorded_at, consents.c.state)).mappings().all()
        )
    engine.dispose()
    return [dict(row) for row in found]


@pytest.fixture
def shop(homes, tmp_path):
    settings = homes.settings(tmp_path / "shop")
    shop = Shop(tmp_path / "shop", settings.warehouse, settings.ledger)
    for source in (PEOPLE, AGREED):
        shop.source(source)
    return shop


def test_what_files_say_is_in_the_ledger_once_and_holds_what_waits(shop):
    run = Run(DAY, Origin.REPLAY)
    shop.put(
        "crm/1.csv", "id,mail,at\n0,person0@mail.example,2026-01-30 10:00\n1,Person1@mail.example,2026-01-30 10:00\n"
    )
    shop.put(
        "agreed/1.jsonl",
        line(who="0", topic="offers", how="form", words="v3", proof="form 17")
        + line(mail="PERSON2@mail.example", topic="all")
        + line(who="0", channel="sms", state="denied")
        + line(who="9", topic="offers"),  # whose address nobody knows
    )
    run_day(run, shop.settings)
    told = rows(shop.settings)
    assert {(row["address_hash"], row["topic"], row["state"]) for row in told} == {
        (address_hash("person0@mail.example"), "offers", "granted"),
        (address_hash("person2@mail.example"), None, "granted"),
    }
    proof = next(row for row in told if row["topic"] == "offers")
    assert (proof["method"], proof["source"], proof["customer_ref"]) == ("form", "agreed", "0")
    assert json.loads(proof["proof"]) == {
        "source": "agreed", "file": "agreed/1.jsonl", "version": 1, "row": 1, "text_version": "v3", "proof": "form 17",
    }  # fmt: skip

    shop.put(
        "agreed/2.jsonl",
        line(who="0", topic="offers", how="form")  # again
        + line(who="1", state="denied", at="2026-02-01T07:00:00Z")  # today, after the day that is run
        + line(mail="person2@mail.example", topic="news", state="denied", at="2026-01-31T10:00:00Z"),
    )
    run_day(run, shop.settings)
    run_day(run, shop.settings)
    assert len(rows(shop.settings)) == len(told) + 2
    shop.put("crm/2.csv", "id,mail,at\n1,new@mail.example,2026-01-31 10:00\n")
    run_day(run, shop.settings)
    assert {
        row["address_hash"] for row in rows(shop.settings) if row["state"] == "denied" and row["topic"] is None
    } == {
        address_hash("person1@mail.example"),
        address_hash("new@mail.example"),  # the withdrawal follows its person
    }

    with open_ledger(shop.settings) as ledger:
        fill(ledger, shop.settings, 4)
        claim = ledger.claim("lease", "mailbox", 20, timedelta(minutes=15))
        by_id = {message.message_id: message.customer_id for message in claim.messages}
        assert {by_id[one]: why for one, why in ledger.objections("lease").items()} == {"c1": "no_consent"}
