"""Room under caps and coupon codes are given out once, also when two plans queue at the same moment."""

import subprocess
import sys
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import count
from pathlib import Path

from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from sqlalchemy import select, update

from outbox import TEMPLATE, new_message, run_in, settings_in
from perennial.foundation.days import Run
from perennial.ledger import Cap, NewCampaignRun, open_ledger
from perennial.ledger.tables import coupons, messages

PLAN = """
import sys
from outbox import new_message, run_in, settings_in
from perennial.ledger import Cap, open_ledger

home, url, campaign, people = sys.argv[1:]
settings = settings_in(home, **({"ledger": url} if url else {}))
rows = [new_message(number, settings, occurrence=campaign) for number in range(int(people))]
with open_ledger(settings) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    print(ledger.queue(run_in(settings), campaign, "mailbox", rows, caps=[Cap(1, 7)], coupon_pool="spring"))
"""
PEOPLE, CODES = 1_200, 700


def freeze(ledger, run, *campaigns):
    file = ledger.write_frozen("some", run.send_day, b"decisions")
    ledger.freeze([NewCampaignRun(one, run.send_day, "", file, file, {}) for one in campaigns], [TEMPLATE], run.origin)


def rows_of(ledger):
    with ledger._reading() as connection:
        return connection.execute(select(messages)).all()


def codes_of(ledger):
    """Message -> its code."""
    with ledger._reading() as connection:
        taken = select(coupons).where(coupons.c.message_id.is_not(None))
        return {row.message_id: row.code for row in connection.execute(taken)}


def test_two_plans_at_once_exceed_no_cap_and_give_no_code_twice(tmp_path, ledger_url):
    settings = settings_in(tmp_path, **({"ledger": ledger_url} if ledger_url else {}))
    with open_ledger(settings) as ledger:
        freeze(ledger, run_in(settings), "alpha", "beta")
        ledger.load_coupons("spring", (f"code{number}" for number in range(CODES)), by="ann")
    command = [sys.executable, "-c", PLAN, str(tmp_path), ledger_url or ""]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": Path(__file__).parents[1], "text": True}
    plans = [subprocess.Popen([*command, campaign, str(PEOPLE)], **pipes) for campaign in ("alpha", "beta")]
    assert [plan.stdout.readline() for plan in plans] == ["ready\n"] * 2
    for plan in plans:
        plan.stdin.write("go\n")
        plan.stdin.flush()
    assert [plan.communicate()[0] for plan in plans] == [f"{PEOPLE}\n"] * 2
    with open_ledger(settings) as ledger:
        rows, codes = rows_of(ledger), codes_of(ledger)
        assert ledger.free_coupons() == {"spring": 0}
    queued = [row for row in rows if row.state == "queued"]
    assert len({row.customer_id for row in queued}) == len(queued) == CODES
    assert {row.message_id: row.context["coupon_code"] for row in queued} == codes
    assert len(set(codes.values())) == CODES
    held = Counter(row.reason for row in rows if row.state == "held")
    assert set(held) == {"frequency_cap", "no_coupon"}
    assert sum(held.values()) == 2 * PEOPLE - CODES


def test_a_code_comes_back_when_its_mail_was_called_off_before_it_left(tmp_path, ledger_url):
    settings = settings_in(tmp_path, **({"ledger": ledger_url} if ledger_url else {}))
    run = run_in(settings)
    with open_ledger(settings) as ledger:
        freeze(ledger, run, "alpha", "beta")
        assert ledger.load_coupons("spring", ["A", "B"], by="ann") == 2
        assert ledger.load_coupons("autumn", ["B", "C"], by="ann") == 1  # B is in another pool
        first = [new_message(number, settings) for number in range(2)]
        for _ in range(2):  # once more gives nothing away
            ledger.queue(run, "alpha", "mailbox", first, coupon_pool="spring")
            assert ledger.free_coupons() == {"autumn": 1, "spring": 0}
        by_customer = {row.customer_id: row.message_id for row in rows_of(ledger)}
        with ledger._writing() as connection:
            for number, handed_at in ((0, None), (1, settings.now)):  # the second had begun to leave
                called_off = update(messages).where(messages.c.message_id == by_customer[f"c{number}"])
                connection.execute(called_off.values(state="cancelled", handed_at=handed_at))
        assert ledger.free_coupons() == {"autumn": 1, "spring": 1}
        new = [new_message(number, settings) for number in (7, 8)]
        assert ledger.queue(run, "beta", "mailbox", new, coupon_pool="spring") == 2
        kept = {row.customer_id: (row.state, row.reason) for row in rows_of(ledger)}
        assert sorted([kept["c7"], kept["c8"]], key=str) == [("held", "no_coupon"), ("queued", None)]
        assert sorted(codes_of(ledger).values()) == ["A", "B"]


def test_an_old_ledger_that_was_put_back_gives_out_no_code_that_it_does_not_vouch_for(
    tmp_path, ledger_url, copy_of_ledger
):
    settings = settings_in(tmp_path, **({"ledger": ledger_url} if ledger_url else {}))
    with open_ledger(settings) as ledger:
        ledger.load_coupons("spring", ["A", "B"], by="ann")
    put_back = copy_of_ledger(settings)
    with open_ledger(settings) as ledger:
        freeze(ledger, run_in(settings), "alpha")
        ledger.queue(run_in(settings), "alpha", "mailbox", [new_message(1, settings)], coupon_pool="spring")
    with open_ledger(put_back()) as ledger:
        ledger.reconcile(set(), by="ann")
        assert ledger.free_coupons() == {}


MAILS = st.lists(
    st.tuples(
        st.integers(0, 6),  # send day
        st.sampled_from(["offers", "news"]),
        st.sampled_from(["promotional", "promotional", "transactional"]),
        st.integers(0, 2),  # who
        st.integers(0, 1),  # whose mailbox
    ),
    max_size=25,
)
CAPS = (Cap(3, 5), Cap(1, 2), Cap(1, 4, "offers"))


@trying(max_examples=12, deadline=None)
@given(mails=MAILS)
def test_no_window_holds_more_than_a_cap_allows(tmp_path_factory, mails):
    """In whatever order days are planned: of what is queued no cap is exceeded, and nothing is held without need."""
    settings = settings_in(tmp_path_factory.mktemp("caps"))
    numbers = count()
    first = run_in(settings)
    with open_ledger(settings) as ledger:
        for day, topic, purpose, who, mailbox in mails:
            run = Run(first.day + timedelta(days=day), first.origin)
            campaign = f"campaign{next(numbers)}"
            freeze(ledger, run, campaign)
            address = {"customer_id": f"c{who}", "address": f"box{mailbox}@mail.example"}
            mail = new_message(0, settings, topic=topic, purpose=purpose, **address)
            assert ledger.queue(run, campaign, "mailbox", [mail], caps=CAPS) == 1
        rows = rows_of(ledger)
    assert all(row.state == "queued" for row in rows if row.purpose == "transactional")
    received = defaultdict(list)
    for row in rows:
        if row.state == "queued" and row.purpose == "promotional":
            for whose in (row.customer_id, row.address):
                received[whose].append((row.send_day, row.topic))
    for mails_of_one in received.values():
        for cap in CAPS:
            days = [day for day, topic in mails_of_one if cap.topic in (None, topic)]
            for day in days:
                within = [other for other in days if day <= other < day + timedelta(days=cap.every_days)]
                assert len(within) <= cap.at_most
    assert not mails or any(row.state == "queued" for row in rows)
