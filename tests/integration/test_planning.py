"""Campaigns are planned day after day: each occasion is decided once, also when days are missed or run twice."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from homes import environment
from perennial.cli import app
from perennial.flows.campaigns import preview, queue
from perennial.flows.send_calendar import calendar
from perennial.foundation.errors import BadConfig
from perennial.ledger import open_ledger
from perennial.ledger.tables import messages
from perennial.warehouse import open_warehouse
from plans import Plans, make_tables

CAMPAIGNS = {
    "birthday": {"trigger": "{on_date: {field: birthday}}", "priority": 1},
    "newsletter": {"trigger": '{schedule: "0 9 * * 2"}', "topic": "news"},
    "sorry": {"trigger": "{on_event: {kind: complaint}}", "purpose": "service"},
    "step": {
        "trigger": "{after: {campaign: newsletter, days: 2, unless: {where: tier = 'leaf'}}}",
        "repeat": "{at_most: 1, every_days: 30}",
    },
    "festival": {"trigger": "{holiday: {name: Women's Day, days_before: 3}}", "audience": "{where: customer_id = 'c'}"},
}
POLICY = """
promotional: {at_most: 9, every_days: 7}
min_gap_days: 0
send_at: {local_time: "09:00"}
"""
MONDAY = date(2026, 3, 2)
WEDNESDAY, THURSDAY, FRIDAY = (MONDAY + timedelta(days=days) for days in (2, 3, 4))


@pytest.fixture(scope="module")
def made(homes, tmp_path_factory):
    return make_tables(homes, tmp_path_factory.mktemp("made"))


@pytest.fixture
def plans(homes, made, tmp_path):
    plans = Plans(homes, made, tmp_path / "home", CAMPAIGNS, contact_policy=POLICY)
    plans.people(
        a={"birthday": date(1990, 3, 3)},
        b={"birthday": date(1990, 3, 4)},
        c={"birthday": date(2000, 2, 29)},
        leaf={"birthday": None},
    )
    plans.insert(
        core__interactions=[
            {"event_id": "e1", "customer_id": "a", "kind": "complaint", "day": date(2026, 3, 3)},
            {"event_id": "e2", "customer_id": "b", "kind": "complaint", "day": date(2026, 3, 1)},
        ]
    )
    with open_warehouse(plans.settings) as warehouse:
        warehouse.execute("update loyalty.tiers set tier = 'leaf' where customer_id = 'leaf'")
    return plans


def runs(plans, day):
    with open_ledger(plans.settings) as ledger:
        return {found.campaign: found for found in ledger.campaign_runs(send_day=day)}


def newsletter_to(plans, who):
    [found] = [row for row in plans.messages() if row["customer_id"] == who and row["campaign"] == "newsletter"]
    return found["message_id"]


def test_each_occasion_is_decided_once_and_a_missed_day_is_made_up_for(plans):
    plans.on(MONDAY).plan()
    assert plans.decisions() == [("sorry", "e2", "b", "send")]  # the newsletter is due on Tuesdays: not before
    # Nobody plans Tuesday. On Wednesday its newsletter goes out; a birthday is not made up for.
    decided = plans.on(WEDNESDAY).plan()
    assert decided == {
        "birthday": {"send": 1},
        "newsletter": {"lower_priority": 1, "send": 3},
        "sorry": {"send": 1},
        "step": {},
    }
    plans.accept()
    wednesday = plans.decisions()
    assert plans.on(WEDNESDAY).plan() == decided  # once more
    assert plans.decisions() == wednesday
    assert [found.occurrence for found in runs(plans, WEDNESDAY).values()] == ["", "2026-03-03", "", ""]
    plans.on(THURSDAY).plan()  # three days before the eighth; the newsletter was decided
    plans.on(FRIDAY).plan()
    assert plans.decisions() == sorted(
        [
            *wednesday,
            ("festival", "Women's Day 2026", "c", "send"),
            *(("step", newsletter_to(plans, who), who, "send") for who in "ac"),  # b had the other mail, leaf has left
        ]
    )
    once = [decision[:3] for decision in plans.decisions()]
    assert len(set(once)) == len(once)
    assert {row["occurrence"] for row in plans.messages() if row["campaign"] == "birthday"} == {"birthday 2026"}


def test_a_dry_run_says_what_the_plan_then_does_and_decides_nothing(plans):
    plans.on(MONDAY).plan()
    plans.on(WEDNESDAY)
    told = preview(plans.run, plans.settings)
    assert told["sorry"]["since"] == MONDAY
    assert (told["sorry"]["change"], told["newsletter"].get("change")) == ({}, None)
    [sample] = told["birthday"]["samples"]
    assert (sample["customer_id"], sample["locale"], sample["subject"]) == ("b", "en", "birthday")
    assert "Hello" in sample["text"]
    assert runs(plans, WEDNESDAY) == {}
    assert not (plans.settings.ledger_dir / "decisions" / WEDNESDAY.isoformat()).exists()
    assert plans.plan() == {campaign: figures["reasons"] for campaign, figures in told.items()}
    assert all(figures["frozen"] for figures in preview(plans.run, plans.settings).values())
    plans.settings = plans.settings.model_copy(update={"now": datetime(2026, 3, 5, 8, 30, tzinfo=UTC)})
    with pytest.raises(BadConfig, match=r"The tables are as of 2026-03-03, not of 2026-03-04: run that day first"):
        preview(plans.run, plans.settings)


def test_the_calendar_tells_what_is_due_and_for_how_many(plans):
    plans.on(MONDAY).plan()
    rows = [tuple(row.values()) for row in calendar(10, plans.settings)]
    assert rows == [
        (date(2026, 3, 3), "birthday", "birthday", 1),
        (date(2026, 3, 3), "newsletter", "2026-03-03", 4),
        (date(2026, 3, 4), "birthday", "birthday", 1),
        (date(2026, 3, 5), "festival", "Women's Day 2026", 1),
        (date(2026, 3, 10), "newsletter", "2026-03-10", 4),
    ]
    plans.on(date(2026, 3, 3)).plan()
    assert [row["people"] for row in calendar(1, plans.settings)] == [4]  # that birthday is decided

    # After a quarter of a year only who was written to is known by name.
    before = plans.decisions()
    assert ("newsletter", "2026-03-03", "a", "lower_priority") in before
    plans.on(date(2026, 6, 2)).plan()
    plans.on(date(2026, 6, 2)).plan()  # once more
    march = [decision for decision in plans.decisions() if "2026-06" not in decision[1]]
    assert march == sorted([d for d in before if d[3] == "send"] + [("newsletter", "", "", "lower_priority")])
    with open_warehouse(plans.settings) as warehouse:
        rows = warehouse.query(
            "select campaign, occurrence, customer_id, reason, people from campaigns.decisions where send_day < $june",
            june=date(2026, 6, 1),
        ).to_pylist()
    assert sorted(tuple(row.values())[:4] for row in rows) == march
    assert {row["people"] for row in rows} == {1}
    with open_ledger(plans.settings) as ledger:
        files = [plans.settings.ledger_dir / found.decisions.path for found in ledger.campaign_runs()]
    folder = plans.settings.ledger_dir / "decisions"
    assert sorted(folder.rglob("*.decisions.*")) == sorted(file for file in files if ".decisions." in file.name)


OFFERS = {
    "offer": {
        "trigger": '{schedule: "0 9 * * *"}',
        "offer": "{coupons: spring}",
        "partner": "acme",
        "send_at": "best_hour",
        "repeat": "{at_most: 1, every_days: 3}",
    }
}
QUIET = POLICY + 'quiet_hours: {from: "20:00", to: "10:00"}\nbest_hour: {at_least: 1}\n'
SEEDS = "seeds: [{address: Check@shop.example}, {address: other@shop.example, campaigns: []}]"


def test_what_a_mail_brings_along_and_when_it_goes(homes, made, tmp_path, monkeypatch):
    plans = Plans(homes, made, tmp_path / "home", OFFERS, contact_policy=QUIET, seeds=SEEDS)
    plans.people(
        a={"timezone": "America/New_York", "country": "US"},
        b={"timezone": "Asia/Shanghai", "country": "CN"},
        c={"timezone": None},
    )
    ordered = {"customer_id": "a", "is_completed": True, "ordered_date": date(2026, 2, 1)}
    plans.insert(core__orders=[{"order_id": "o1", "ordered_at": datetime(2026, 2, 1, 17, 5, tzinfo=UTC), **ordered}])
    plans.on(MONDAY)
    told = {**environment(plans.settings), "PERENNIAL_NOW": "2026-03-02T08:30Z"}
    for name, value in (told | {"PERENNIAL_INCLUDE": str(plans.settings.include)}).items():
        monkeypatch.setenv(name, value)
    codes = tmp_path / "codes.csv"
    codes.write_text("\ufeffvalue,code\n5,AAA\n5,BBB\n\n5,AAA\n")
    assert shown("coupons", "load", "spring", str(codes), "--by", "ann") == ["codes 3", "new 2"]
    assert shown("coupons", "load", "spring", str(codes), "--by", "ann") == ["codes 3", "new 0"]
    assert shown("coupons", "list") == ["spring 2"]
    dry = shown("campaigns", "plan")
    assert dry[:5] == ["For 2026-03-02:", "offer", "frozen False", "reasons", "no_coupon 1".replace("_", " ")]
    assert any("Hello" in line for line in dry)
    assert "offer" in " ".join(shown("campaigns", "calendar", "--days", "1"))
    codes.write_text("AAA\nno code\n")
    assert "line 2 has no code of 3 to 64 characters" in str(
        run_command("coupons", "load", "spring", str(codes), "--by", "ann").exception
    )
    assert "A pool is named in lower case" in str(
        run_command("coupons", "load", "Spring", str(codes), "--by", "ann").exception
    )
    assert plans.plan() == {"offer": {"no_coupon": 1, "send": 2}}
    with open_ledger(plans.settings) as ledger:
        sent = ledger.read_frozen(ledger.campaign_runs()[0].decisions).to_pylist()
        assert {row["partner"] for row in sent} == {"acme"}
        assert ledger.free_coupons() == {"spring": 0}
    contexts = context_by_address(plans)
    people = ("a@example.com", "b@example.com")
    assert {contexts[address]["coupon_code"] for address in people} == {"AAA", "BBB"}
    assert [contexts[address]["subject_label"] for address in people] == ["", "AD"]  # written to in English
    copies = contexts["check@shop.example"], contexts["other@shop.example"]
    assert {(copy["first_name"], copy["coupon_code"], copy["preview"]) for copy in copies} == {
        ("Ada", "SPRING-7K2M", False)
    }
    moments = {row["customer_id"]: row["not_before"] for row in plans.messages()}
    assert moments["a"] == datetime(2026, 3, 2, 17, tzinfo=UTC)  # noon, when she orders
    assert moments["b"] == datetime(2026, 3, 2, 2, tzinfo=UTC)  # ten: nine is quiet

    # Copies are in no figure, and a code comes back when its mail is called off before it left.
    with open_ledger(plans.settings) as ledger, ledger._writing() as connection:
        connection.execute(update(messages).where(messages.c.customer_id == "a").values(state="cancelled"))
    plans.on(date(2026, 3, 3))
    assert plans.plan() == {"offer": {"already_sent": 1, "no_coupon": 1, "send": 1}}
    assert [row["reason"] for row in plans.messages() if row["customer_id"].startswith("seed")] == [None] * 4
    assert queue("offer", plans.run, plans.settings) == {"queued": 0, "outbox": 3}
    mails = [row for row in plans.messages() if not row["customer_id"].startswith("seed")]
    assert [(row["customer_id"], row["state"]) for row in sorted(mails, key=lambda row: row["send_day"])][-1:] == [
        ("a", "queued")
    ]


OCCASIONS = {
    "cart": {"trigger": "{abandoned_cart: {after_hours: 4}}", "priority": 1},
    "points": {"trigger": "{points_expiring: {within_days: 3}}", "priority": 2},
}
LOYALTY = """
qualifying_days: 365
expires_after_days: 30
tiers: [{tier: seed, from_points: 0}]
earning: [{rule: purchase, event: purchase, points_per_unit: 1, from_day: 2000-01-01}]
"""


def test_a_mail_knows_what_its_occasion_is_about(homes, made, tmp_path):
    plans = Plans(homes, made, tmp_path / "home", OCCASIONS, contact_policy=POLICY, loyalty=LOYALTY)
    plans.people(a={}, b={}, c={})
    cart = {"customer_id": "a", "kind": "add_to_cart", "day": date(2026, 3, 1)}
    moments = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in (9, 10, 11)]
    articles = zip(("tea", "no page\x1f", "oats"), moments, strict=True)
    plans.insert(
        core__products=[
            {"sku": sku, "name": sku.title(), "price": 4.5, "url": url, "is_active": True}
            for sku, url in (("tea", None), ("no page\x1f", None), ("oats", "https://shop.example/oats"))
        ],
        core__interactions=[{"event_id": sku, "sku": sku, "occurred_at": moment, **cart} for sku, moment in articles],
        loyalty__balances=[{"customer_id": "b", "points_balance": 70, "last_entry_day": date(2026, 2, 2)}],
    )
    assert plans.on(MONDAY).plan() == {"cart": {"send": 1}, "points": {"send": 1}}
    contexts = context_by_address(plans)
    shown = [(product["name"], product["url"]) for product in contexts["a@example.com"]["occasion_products"]]
    assert shown == [("Oats", "https://shop.example/oats"), ("Tea", plans.settings.shop_url)]
    assert contexts["a@example.com"]["points_expire_date"] is None
    assert contexts["b@example.com"]["occasion_products"] == []
    assert contexts["b@example.com"]["points_expire_date"] == "2026-03-04"


def run_command(*arguments):
    return CliRunner().invoke(app, arguments)


def shown(*arguments):
    """What a command says, line by line, with single blanks."""
    done = run_command(*arguments)
    assert done.exit_code == 0, done.exception
    return [" ".join(line.split()) for line in done.output.splitlines()]


def context_by_address(plans):
    with open_ledger(plans.settings) as ledger, ledger._reading() as connection:
        rows = connection.execute(messages.select().with_only_columns(messages.c.address, messages.c.context))
        return {row.address: row.context for row in rows}
