"""`deliver` over real sockets, a real ledger file and a real mailbox folder."""

import logging
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from smtp_servers import DROP, smtp_server
from typer.testing import CliRunner

from outbox import CAMPAIGN, DAY, context_of, fill, freeze, later, new_message, settings_in
from perennial.cli import app
from perennial.delivery.journal import Journal
from perennial.delivery.mailbox import held_messages
from perennial.delivery.tokens import signing_secret, unseal
from perennial.flows import delivery as delivery_flow
from perennial.flows.delivery import LEASE, deliver, reconcile
from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.ledger import address_hash, open_ledger, store


def _mails(settings):
    return [
        message_from_bytes(path.read_bytes(), policy=policy.default)
        for path in sorted(settings.mailbox_dir.glob("*.eml"))
    ]


@pytest.fixture
def filled(tmp_path, ledger_url):
    """A function that queues messages for the mailbox, on each engine of the ledger."""

    def fill_ledger(count, **overrides):
        settings = settings_in(tmp_path, ledger=ledger_url, **overrides)
        with open_ledger(settings) as ledger:
            fill(ledger, settings, count)
        return settings

    return fill_ledger


@pytest.fixture
def live_by_smtp(tmp_path, ledger_url):
    """A function that queues messages for real SMTP; a live run needs no demo clock to queue, only its origin."""

    def fill_ledger(count, port):
        settings = settings_in(tmp_path, ledger=ledger_url, delivery="smtp", smtp_port=port, smtp_timeout=2)
        with open_ledger(settings) as ledger:
            freeze(ledger, settings, send=count)
            rows = [new_message(number, settings) for number in range(count)]
            assert ledger.queue(Run(DAY, Origin.LIVE), CAMPAIGN, "smtp", rows) == count
        return settings

    return fill_ledger


def test_mail_reaches_the_mailbox_whole_and_once(filled):
    settings = filled(3)
    assert deliver(settings) == {"accepted": 3}
    assert deliver(settings) == {"accepted": 3}
    mails = _mails(settings)
    assert {mail["To"] for mail in mails} == {f"person{number}@mail.example" for number in range(3)}
    assert {mail["Subject"] for mail in mails} == {f"Ada{number}, we miss you" for number in range(3)}
    for mail in mails:
        link = mail["List-Unsubscribe"].strip("<>")
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert link.startswith("http://127.0.0.1:8025/unsubscribe/")
        assert unseal(urlsplit(link).path.rpartition("/")[2], signing_secret(settings)) == mail["X-Perennial-Message"]
        text, html = mail.iter_parts()
        assert link in text.get_content()
        assert f'href="{link}"' in html.get_content()
    with open_ledger(settings) as ledger:
        (message,) = ledger.messages_of("c0")
        assert message["handed_at"] == message["accepted_at"] == settings.now
        assert message["provider_reply"].startswith("250 Written as ")
        assert ledger.open_leases() == []


def test_who_said_no_in_the_meantime_is_held(filled):
    settings = filled(3)
    with open_ledger(settings) as ledger:
        (message,) = ledger.messages_of("c1")
        assert ledger.unsubscribe(message["message_id"], method="page", proof={})
        ledger.suppress([address_hash("person2@mail.example")], "complaint")
    assert deliver(settings) == {"accepted": 1, "held": 2}
    assert [mail["To"] for mail in _mails(settings)] == ["person0@mail.example"]
    with open_ledger(settings) as ledger:
        assert ledger.messages_of("c1")[0]["reason"] == "suppressed"


@pytest.mark.parametrize(("is_pipelining", "in_flight"), [(False, 1), (True, 2)])
def test_who_says_no_while_mails_leave_gets_none_that_is_not_in_flight(
    live_by_smtp, monkeypatch, is_pipelining, in_flight
):
    monkeypatch.setattr(delivery_flow, "LOOK_AGAIN", 0)

    def everybody_says_no(step, number):
        if (step, number) == ("DOT", 3):  # of ten mails of one claim two were answered, and the third has arrived
            with open_ledger(settings) as ledger:
                ledger.suppress([address_hash(f"person{number}@mail.example") for number in range(10)], "unsubscribe")

    with smtp_server(everybody_says_no, is_pipelining=is_pipelining) as server:
        settings = live_by_smtp(10, server.port)
        states = deliver(settings)
        assert len(server.bodies) == states["accepted"]
    assert 3 <= states["accepted"] <= 3 + in_flight
    assert states == {"accepted": states["accepted"], "held": 10 - states["accepted"]}


def test_what_cannot_be_written_fails_alone_and_says_why(tmp_path, ledger_url, caplog):
    settings = settings_in(tmp_path, ledger=ledger_url)
    without_name = {name: value for name, value in context_of("Eve").items() if name != "shop_name"}
    with open_ledger(settings) as ledger:
        freeze(ledger, settings, send=4)
        rows = [
            new_message(0, settings),
            new_message(1, settings, context=without_name),
            new_message(2, settings, address="not an address"),
            new_message(3, settings, context=context_of("Mallory\r\nBcc: x@y.example")),
        ]
        assert ledger.queue(Run(DAY, Origin.DEMO), CAMPAIGN, "mailbox", rows) == 4
    with caplog.at_level(logging.DEBUG):
        assert deliver(settings) == {"accepted": 2, "failed": 2}
    assert [mail["Bcc"] for mail in _mails(settings)] == [None, None]
    with open_ledger(settings) as ledger:
        reasons = [ledger.messages_of(f"c{number}")[0]["reason"] for number in range(4)]
    assert reasons[0] is reasons[3] is None
    assert "shop_name: Field required" in reasons[1]
    assert reasons[2] == "The address is not one plain e-mail address."
    assert not any(private in caplog.text for private in ("mail.example", "not an address", "Eve", "Mallory"))


def test_an_unreachable_server_loses_nothing_and_is_named(live_by_smtp):
    with smtp_server() as gone:
        port = gone.port
    settings = live_by_smtp(3, port)
    with pytest.raises(Retryable, match=f"127.0.0.1:{port}") as error:
        deliver(settings)
    assert "mail.example" not in str(error.value)
    with open_ledger(settings) as ledger:
        assert ledger.counts_by_state() == {"retry": 3}
    assert deliver(settings) == {"retry": 3}  # not yet due again
    with smtp_server() as server:
        back = later(settings, minutes=2).model_copy(update={"smtp_port": server.port})
        assert deliver(back) == {"accepted": 3}
    assert len(server.taken) == 3


def test_each_answer_becomes_its_state_and_unknown_is_never_sent_again(live_by_smtp):
    def script(step, number):
        return {("DOT", 1): DROP, ("RCPT", 2): "550 no", ("RCPT", 3): "451 later"}.get((step, number))

    with smtp_server(script) as server:
        settings = live_by_smtp(4, server.port)
        assert deliver(settings) == {"accepted": 1, "failed": 1, "retry": 1, "unknown": 1}
        assert deliver(later(settings, minutes=5)) == {"accepted": 2, "failed": 1, "unknown": 1}
    assert len(server.bodies) == 3


def test_mail_queued_for_the_mailbox_does_not_leave_when_smtp_is_turned_on(filled):
    settings = filled(2)
    with smtp_server() as server:
        real = settings.model_copy(update={"delivery": "smtp", "smtp_port": server.port})
        assert deliver(real) == {"queued": 2}
    assert server.connections == 0


def test_a_wrong_sender_is_a_wrong_setting_and_moves_nothing(filled):
    settings = filled(2, sender="nobody")
    with pytest.raises(BadConfig, match="PERENNIAL_SENDER"):
        deliver(settings)
    with open_ledger(settings) as ledger:
        assert ledger.counts_by_state() == {"queued": 2}


def test_two_deliveries_at_once_share_nothing(filled):
    settings = filled(700)
    with ThreadPoolExecutor(3) as pool:
        counts = [run.result() for run in [pool.submit(deliver, settings) for _ in range(3)]]
    assert {"accepted": 700} in counts
    assert len(_mails(settings)) == 700
    assert len(held_messages(settings.mailbox_dir)) == 700


def test_a_limit_a_minute_holds_over_all_workers_and_under_a_clock_that_stands_still(filled):
    settings = filled(20, delivery_per_minute=8)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: deliver(settings), range(3)))
    assert len(_mails(settings)) == 8
    assert deliver(later(settings, minutes=1)) == {"accepted": 16, "queued": 4}


def test_more_than_a_minute_may_take_goes_out_in_the_next_ones(filled, monkeypatch):
    settings = filled(7, delivery_per_minute=3)
    clock = [settings.now + timedelta(seconds=10)]  # past half a minute: 9:30:10
    for room in (delivery_flow, store):
        monkeypatch.setattr(room, "current_time", lambda _: clock[0])
    waited = []

    def go_by(seconds):
        waited.append(seconds)
        clock[0] += timedelta(seconds=seconds)

    monkeypatch.setattr(delivery_flow, "sleep", go_by)
    assert deliver(settings.model_copy(update={"now": None})) == {"accepted": 7}
    assert waited == [50, 60]


def test_the_claim_of_a_living_worker_is_left_alone_until_it_expires_and_is_unknown_then(filled):
    settings = filled(2)
    with Journal(settings.ledger_dir / "journal", "alive"), open_ledger(settings) as ledger:
        assert ledger.claim("alive", "mailbox", 5, LEASE) is not None
        assert deliver(settings) == {"sending": 2}
        assert deliver(later(settings, minutes=16)) == {"unknown": 2}  # it may still be sending
    assert deliver(settings) == {"accepted": 2}  # now it is dead, and the mailbox does not hold them
    assert len(_mails(settings)) == 2


def test_without_its_journal_a_claim_is_unknown_and_not_sent_again(filled):
    settings = filled(2)
    with open_ledger(settings) as ledger:
        assert ledger.claim("lost", "mailbox", 5, LEASE) is not None
    assert deliver(settings) == {"sending": 2}  # perhaps on another host
    assert deliver(later(settings, minutes=16)) == {"unknown": 2}
    assert _mails(settings) == []


def test_an_old_ledger_put_back_sends_nothing_until_it_is_reconciled_and_nothing_twice_after(filled, copy_of_ledger):
    settings = filled(5)
    put_back = copy_of_ledger(settings)
    assert deliver(settings) == {"accepted": 5}
    settings = put_back()
    with pytest.raises(Permanent, match="perennial ledger reconcile"):
        deliver(settings)
    assert reconcile(settings, by="a person") == {"accepted": 5, "unknown": 0, "remembered": 0}
    assert deliver(settings) == {"accepted": 5}
    assert len(_mails(settings)) == 5


def test_a_person_says_what_became_of_unknown_messages(live_by_smtp, monkeypatch):
    with smtp_server(lambda step, number: DROP if step == "DOT" and number < 3 else None) as server:
        settings = live_by_smtp(4, server.port)
        assert deliver(settings) == {"accepted": 2, "unknown": 2}
        with open_ledger(settings) as ledger:
            one, two = ledger.unknown("smtp")
        for name in settings.model_fields_set:
            if getattr(settings, name) is not None:
                monkeypatch.setenv(f"PERENNIAL_{name.upper()}", str(getattr(settings, name)))

        def perennial(*words, **options):
            return CliRunner().invoke(app, ["messages", *words], **options)

        listed = perennial("unknown").output.splitlines()
        assert sorted(line[:36] for line in listed) == sorted((one, two))
        assert all("handed over 2026-02-01 08:30:00 UTC: after the dot" in line for line in listed)
        assert not any("mail.example" in line for line in listed)
        said = ["--by", "me", "--why", "the relay's log"]
        assert perennial("settle", "-", "--as", "accepted", *said, input=f"{one}\n").exit_code == 0
        refused = perennial("settle", one, two, "--as", "queued", *said).exception
        assert f"Not unknown: {one}" in str(refused)
        assert deliver(settings) == {"accepted": 3, "unknown": 1}
        assert perennial("settle", two, "--as", "queued", *said).output == "1 messages settled as queued.\n"
        assert deliver(settings) == {"accepted": 4}
    assert len(server.taken) == 3


_WORKER = """
import sys
from pathlib import Path
from outbox import settings_in
from perennial.flows.delivery import deliver
deliver(settings_in(Path(sys.argv[1]), ledger=sys.argv[2] or None))
"""


def _work(settings):
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "plugins")]
    code = f"import sys; sys.path[:0] = {paths!r}\n{_WORKER}"
    return subprocess.Popen([sys.executable, "-c", code, str(settings.home), settings.ledger or ""])


@pytest.mark.slow
def test_workers_killed_at_random_moments_send_everything_once(filled):
    total, chance = 300, random.Random(20260201)
    settings = filled(total)
    for _ in range(8):
        so_far = len(held_messages(settings.mailbox_dir))
        stop_at = so_far + chance.randint(1, 40)
        worker = _work(settings)
        while worker.poll() is None and len(held_messages(settings.mailbox_dir)) < min(stop_at, total):
            time.sleep(chance.random() / 200)
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
        with open_ledger(settings) as ledger:
            assert sum(ledger.counts_by_state().values()) == total
    assert 0 < len(held_messages(settings.mailbox_dir)) < total
    assert deliver(settings) == {"accepted": total}
    assert len(_mails(settings)) == len(held_messages(settings.mailbox_dir)) == total
