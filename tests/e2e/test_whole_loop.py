"""The whole product under the real scheduler: files in, decided e-mails and metric tables out, over several days."""

import re
import threading
import time as clock
from collections import Counter
from datetime import date
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pandas as pd
import pytest
import uvicorn

from contents import copies, mails
from homes import environment
from perennial.demo import write_days
from perennial.flows import demo, reading
from perennial.foundation.settings import load_settings
from perennial.ledger import open_ledger
from perennial.web.app import create_app

pytestmark = pytest.mark.slow
DAYS = [date(2026, 1, 28), date(2026, 1, 29), date(2026, 1, 30)]


@pytest.fixture
def home(home, homes, monkeypatch):
    """The home with warehouse and ledger on each engine, as every task sees it."""
    for name, value in environment(homes.settings(home)).items():
        monkeypatch.setenv(name, value)
    return home


@pytest.fixture
def shop(home):
    """A demo shop whose history ends with the first of DAYS."""
    settings = load_settings()
    demo.build(settings, 500, date(2025, 11, 1), DAYS[0])
    return settings


@pytest.fixture
def site(home):
    """The public web app, on a port of its own."""
    server = uvicorn.Server(uvicorn.Config(create_app(load_settings()), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        clock.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def rows(sql):
    return reading.query(sql, load_settings()).to_pylist()


def granted_by(settings, day):
    """Customers who consent to e-mail, from the shop's files alone."""
    files = [path for path in sorted((settings.inbox_dir / "consents").iterdir()) if path.name[:10] <= str(day)]
    said = pd.concat([pd.read_json(path, lines=True, dtype=str) for path in files])
    said = said[(said["channel"] == "email")].sort_values("at", kind="stable")
    newest = said.drop_duplicates("customer", keep="last")
    return set(newest.loc[newest["state"] == "granted", "customer"])


@pytest.mark.parametrize("homes", ["duckdb"], indirect=True)  # a whole installation on servers: test_compose
def test_three_days_from_files_to_mailbox_and_tables(scheduler, shop, site):
    unsubscribed = None
    for day in DAYS:
        if day != DAYS[0]:
            write_days(load_settings(), day, day)
        scheduler.run_day(day)
        scheduler.deliver()
        settings = load_settings()
        check_tables(day)
        check_people(settings, day, without=unsubscribed)
        if unsubscribed is None:
            unsubscribed = unsubscribe_somebody(settings, site)
    check_mails(load_settings())


def check_tables(day):
    health = rows("select * from marts.data_health order by source, day")
    assert {row["source"] for row in health} == set(reading_sources())
    for row in health:
        fates = ("current", "superseded", "duplicate", "quarantined", "held", "refused")
        assert row["landed"] == sum(row[fate] for fate in fates), row
    assert rows("select max(day) as day, max(as_of_date) as as_of from marts.daily_kpis") == [
        {"day": day, "as_of": day}
    ]
    (totals,) = rows("select sum(orders) as orders, sum(net_revenue) as revenue from marts.daily_kpis")
    (orders,) = rows(
        "select count(*) filter (where is_completed) as orders, sum(net_revenue) as revenue from core.orders"
    )
    assert totals == orders
    assert rows("select count(*) as n from marts.segment_daily where day = (select max(day) from marts.segment_daily)")
    (people,) = rows("select count(*) as n, count(distinct customer_id) as ids from marts.customer_360")
    assert people["n"] == people["ids"] > 400


def reading_sources():
    from perennial.sources import source_names

    return source_names(load_settings())


def check_people(settings, day, without):
    """Everybody decided to be mailed is mailed once and nobody else; and they are the right people."""
    decided = rows("select * from internal.decisions")
    chosen = {(d["campaign"], str(d["send_day"]), d["customer_id"]) for d in decided if d["reason"] == "send"}
    with open_ledger(settings) as ledger:
        sent = [row for batch in ledger.changes("messages", None) for row in batch]
    assert {(m["campaign"], str(m["send_day"]), m["customer_id"]) for m in sent} == chosen
    due = [m for m in sent if m["not_before"] <= settings.now]  # six in the evening is yet to come in America
    assert {m["state"] for m in due} <= {"accepted", "failed"}
    assert {m["state"] for m in sent if m not in due} <= {"queued"}
    assert copies(settings) == Counter(m["message_id"] for m in sent if m["state"] == "accepted")

    today = [m for m in sent if m["send_day"] > day]
    assert {m["customer_id"] for m in today} <= granted_by(settings, day)
    facts = {row["customer_id"]: row for row in rows("select * from marts.customer_360")}
    for message in today:
        person = facts[message["customer_id"]]
        assert not person["is_suppressed"]
        if message["campaign"] == "win_back":
            assert (person["churn_risk"], person["orders"] >= 2, person["net_revenue"] > 50) == ("high", True, True)
    per_person = Counter((m["campaign"], m["customer_id"]) for m in sent)
    assert set(per_person.values()) <= {1}, "win_back and tier_upgrade repeat after 30 days at the earliest"
    held_out = {d["customer_id"] for d in decided if d["arm"] == "holdout"}
    assert not held_out & {m["customer_id"] for m in sent if m["campaign"] == "win_back"}
    assert without is None or without not in {m["customer_id"] for m in today}


def unsubscribe_somebody(settings, site):
    """Follow the link of one mail as a mail program does (RFC 8058); who it was."""
    mail = next(mail for mail in mails(settings) if mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click")
    link = urlsplit(re.fullmatch(r"<(.+)>", mail["List-Unsubscribe"])[1])
    assert f"{link.scheme}://{link.netloc}" == settings.public_url
    with urlopen(f"{site}{link.path}", timeout=10) as page:  # noqa: S310 - looking changes nothing
        assert page.status == 200
    with open_ledger(settings) as ledger:
        assert list(ledger.changes("suppressions", None)) == []
    with urlopen(Request(f"{site}{link.path}", b"List-Unsubscribe=One-Click"), timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    with open_ledger(settings) as ledger:
        assert [len(batch) for batch in ledger.changes("suppressions", None)] == [1]
        return ledger.message(mail["X-Perennial-Message"])["customer_id"]


def check_mails(settings):
    everyone = mails(settings)
    assert everyone
    assert {mail["Content-Language"] or language(mail) for mail in everyone} == {"en", "zh"}
    for mail in everyone:
        assert mail["From"] == settings.sender
        assert mail["Subject"].strip()
        assert mail["Message-ID"].startswith(f"<{mail['X-Perennial-Message']}@")
        assert mail["List-Unsubscribe"].startswith(f"<{settings.public_url}/unsubscribe/")
        assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
        text, html = (part.get_content() for part in mail.iter_parts())
        link = mail["List-Unsubscribe"][1:-1]
        for body in (text, html):
            assert link in body
            assert settings.postal_address in body
            assert "{{" not in body
            assert "{%" not in body
            assert "None" not in body


def language(mail):
    return "zh" if re.search("[\u4e00-\u9fff]", mail["Subject"]) else "en"
