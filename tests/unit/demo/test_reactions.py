"""How simulated customers answer mail."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow.parquet as pq
import pytest

from perennial.demo import Mail, Reactions, build_shop, react, write_reactions
from perennial.demo.files import EXPORTS
from perennial.demo.process import SHOP_ZONE
from perennial.foundation.settings import Settings, load_settings

SENT = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    made = load_settings(home=tmp_path_factory.mktemp("shop"), now="2026-02-01T09:30:00+01:00")
    build_shop(made, 3000, date(2026, 1, 1), date(2026, 1, 31))
    return made


@pytest.fixture(scope="module")
def mails(settings) -> list[Mail]:
    """Two mails to everybody, one of each variant."""
    people = pq.read_table(settings.home / "demo_truth" / "customers.parquet")["customer_id"].to_pylist()
    return [
        Mail(f"m-{wave}-{person}", person, "win_back", "ab"[(wave + row) % 2], SENT, f"https://shop.example/u/{person}")
        for wave in range(2)
        for row, person in enumerate(people[:3000])
    ]


@pytest.fixture(scope="module")
def days(settings, mails) -> list[Reactions]:
    first = date(2026, 1, 31)
    return [react(settings, mails, first + timedelta(days=n)) for n in range(12)]


def test_the_same_question_has_the_same_answer(settings, mails, days):
    assert react(settings, list(reversed(mails)), days[0].day) == days[0]


def test_a_day_before_any_mail_has_no_answers(settings):
    assert react(settings, [], date(2026, 1, 31)) == Reactions(date(2026, 1, 31), (), (), (), ())


def test_one_mail_is_answered_the_same_in_any_company(settings, mails, days):
    alone = react(settings, mails[:1], days[0].day)
    assert alone.events == tuple(event for event in days[0].events if event.message_id == mails[0].message_id)


def test_nothing_happens_before_the_mail_or_on_another_day(days):
    for reactions in days:
        moments = [event.occurred_at for event in (*reactions.events, *reactions.unsubscribes, *reactions.interactions)]
        moments += [line.ordered_at for line in reactions.order_lines]
        assert all(moment > SENT for moment in moments)
        assert {moment.astimezone(SHOP_ZONE).date() for moment in moments} <= {reactions.day}


def test_people_click_what_they_opened_and_buy_what_they_clicked(days):
    events = [event for reactions in days for event in reactions.events]
    steps = Counter((event.kind, event.machine) for event in events)
    assert steps["opened", False] > steps["clicked", False] > 0
    assert steps["opened", True] > 0
    assert steps["complained", False] > 0
    opened = {event.message_id: event.occurred_at for event in events if event.kind == "opened" and not event.machine}
    clicked = [event for event in events if event.kind == "clicked"]
    assert all(opened[event.message_id] < event.occurred_at for event in clicked)
    assert len({event.event_id for event in events}) == len(events)
    left = {one.message_id for reactions in days for one in reactions.unsubscribes}
    assert left
    assert left.isdisjoint(event.message_id for event in clicked)
    assert all(one.url.endswith(one.customer_id) for reactions in days for one in reactions.unsubscribes)


def test_variants_truly_differ(mails, days):
    variant = {mail.message_id: mail.variant for mail in mails}
    sent = Counter(variant.values())
    clicks = Counter(
        variant[event.message_id] for reactions in days for event in reactions.events if event.kind == "clicked"
    )
    assert clicks["b"] / sent["b"] > 1.4 * clicks["a"] / sent["a"]


def test_the_lost_answer_less_and_some_come_back(settings, mails, days):
    dropped = dict(
        zip(
            *(
                pq.read_table(settings.home / "demo_truth" / "customers.parquet")[column].to_pylist()
                for column in ("customer_id", "dropout_date")
            ),
            strict=True,
        )
    )
    lost = {mail.message_id for mail in mails if dropped[mail.customer_id] <= SENT.date()}
    opens = {event.message_id for reactions in days for event in reactions.events if event.kind == "opened"}
    assert len(opens & lost) / len(lost) < 0.75 * len(opens - lost) / (len(mails) - len(lost))
    buyers = {line.fields["customer_ref"] for reactions in days for line in reactions.order_lines}
    revived = {customer for customer in buyers if dropped[customer] <= SENT.date()}
    assert len(revived) >= 3
    assert len(buyers - revived) > len(revived)


def test_a_campaign_may_be_more_welcome_than_another(settings, mails, days):
    tiers = [Mail(mail.message_id, mail.customer_id, "tier_upgrade", mail.variant, SENT) for mail in mails]
    welcome = sum(event.kind == "opened" for event in react(settings, tiers, days[0].day).events)
    assert welcome > 1.1 * sum(event.kind == "opened" for event in days[0].events)


def test_a_stranger_does_not_answer(settings):
    nothing = react(settings, [Mail("m", "x-0123", "win_back", "a", SENT)], SENT.date())
    assert nothing == Reactions(SENT.date(), (), (), (), ())


def test_what_is_bought_and_clicked_goes_into_files_of_its_own(settings, days):
    reactions = days[1]
    figures = write_reactions(settings, reactions)
    assert figures == {"order_lines": len(reactions.order_lines), "interactions": len(reactions.interactions)}
    path = settings.inbox_dir / "web_orders" / f"{reactions.day}-react.csv"
    before = path.read_bytes()
    assert before.decode().splitlines()[0] == EXPORTS["web_orders"].header
    rows = duckdb.sql(
        f"select order_no, line, created, customer_ref, campaign, status from read_csv('{path}', all_varchar = true)"
    ).fetchall()
    assert len(rows) == figures["order_lines"] > 0
    assert {row[2][:10] for row in rows} == {str(reactions.day)}
    assert {(row[4], row[5]) for row in rows} == {("win_back", "completed")}
    kinds = duckdb.sql(
        f"select distinct type from read_json('{settings.inbox_dir}/web_interactions/{reactions.day}-react.jsonl')"
    ).fetchall()
    assert sorted(kinds) == [("email_click",), ("email_open",)]
    write_reactions(settings, reactions)
    assert path.read_bytes() == before


def test_a_quiet_day_writes_no_file(settings):
    quiet = Reactions(date(2026, 3, 15), (), (), (), ())
    assert write_reactions(settings, quiet) == {"order_lines": 0, "interactions": 0}
    assert not (settings.inbox_dir / "web_orders" / "2026-03-15-react.csv").exists()
