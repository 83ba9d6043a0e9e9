"""A provider in trouble: another stands in for what was provably not taken, and for nothing else."""

import logging
import os

import pytest
from api_servers import DOMAIN, KEY, TAKE_AND_RESET, FakeMailgun, FakeSendGrid, Reply, api_server

from outbox import CAMPAIGN, DAY, freeze, later, new_message, settings_in
from perennial.flows import doctor
from perennial.flows.delivery import deliver
from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig, Retryable
from perennial.foundation.settings import load_settings
from perennial.ledger import open_ledger

DOWN = Reply(503)


@pytest.fixture
def home(tmp_path, ledger_url, monkeypatch):
    """A function that makes settings of one home, with SendGrid first and Mailgun behind it."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)

    def settings(sendgrid, mailgun, **changes):
        fields = {
            "ledger": ledger_url,
            "delivery": "sendgrid",
            "delivery_fallback": "mailgun",
            "sendgrid_url": sendgrid.url,
            "mailgun_url": mailgun.url,
            "sendgrid_api_key": KEY,
            "mailgun_api_key": KEY,
            "mailgun_domain": DOMAIN,
            "api_timeout": 2,
        }
        return settings_in(tmp_path, **{**fields, **changes})

    return settings


def _queue(settings, numbers, **changes):
    with open_ledger(settings) as ledger:
        freeze(ledger, settings, send=len(numbers))
        rows = [new_message(number, settings, **changes) for number in numbers]
        ledger.queue(Run(DAY, Origin.LIVE), CAMPAIGN, settings.delivery, rows)


def _rows(settings):
    with open_ledger(settings) as ledger:
        return [row for batch in ledger.changes("messages", None) for row in batch]


def _told(settings):
    with open_ledger(settings) as ledger:
        rows = [row for batch in ledger.changes("audit_log", None) for row in batch]
    return [row["subject"] for row in rows if row["action"] == "fail_over"]


def test_after_ten_minutes_of_trouble_the_other_sends_what_waits(home, caplog):
    with api_server(FakeSendGrid, lambda _: DOWN) as sendgrid, api_server(FakeMailgun) as mailgun:
        settings = home(sendgrid, mailgun)
        _queue(settings, range(30))
        _queue(settings, [30], not_before=later(settings, days=1).now)  # not due: it can wait for SendGrid
        for minutes in (0, 2, 8):
            with pytest.raises(Retryable, match="SendGrid"):
                deliver(later(settings, minutes=minutes))
            assert mailgun.taken == []
        assert "sendgrid took nothing in 3 attempts since 2026-02-01 08:30 UTC" in doctor._ledger(settings).what
        with caplog.at_level(logging.WARNING):
            assert deliver(later(settings, minutes=10)) == {"accepted": 30, "queued": 1}
    assert len(mailgun.taken) == 30
    assert "sendgrid is in trouble: 30 messages go by mailgun" in caplog.text
    assert "mail.example" not in caplog.text
    assert _told(settings) == ["30 messages from sendgrid to mailgun"]
    assert {(row["state"], row["provider"]) for row in _rows(settings)} == {
        ("accepted", "mailgun"),
        ("queued", "sendgrid"),
    }


def test_what_may_have_been_taken_stays_and_nobody_gets_two(home):
    with (
        api_server(FakeSendGrid, lambda number: TAKE_AND_RESET if number == 1 else DOWN) as sendgrid,
        api_server(FakeMailgun) as mailgun,
    ):
        settings = home(sendgrid, mailgun)
        _queue(settings, range(40))
        for minutes in (0, 2, 8):  # three attempts, but not ten minutes
            with pytest.raises(Retryable):
                deliver(later(settings, minutes=minutes))
        assert deliver(later(settings, minutes=10)) == {"accepted": 30, "unknown": 10}
    reached = [mail.visible_to for mail in sendgrid.taken + mailgun.taken]
    assert len(reached) == len(set(reached)) == 40
    assert {(row["state"], row["provider"]) for row in _rows(settings)} == {
        ("accepted", "mailgun"),
        ("unknown", "sendgrid"),
    }


def test_who_refuses_us_is_stood_in_for_and_asked_again_each_time(home):
    answers = {"now": Reply(401, "{}")}
    with (
        api_server(FakeSendGrid, lambda _: answers["now"]) as sendgrid,
        api_server(FakeMailgun) as mailgun,
    ):
        settings = home(sendgrid, mailgun)
        _queue(settings, range(5))
        for minutes in (0, 2, 8):
            with pytest.raises(BadConfig, match="PERENNIAL_SENDGRID_API_KEY"):
                deliver(later(settings, minutes=minutes))
        assert deliver(later(settings, minutes=10)) == {"accepted": 5}
        _queue(settings, range(5, 9))
        assert deliver(later(settings, minutes=11)) == {"accepted": 9}
        assert (len(sendgrid.taken), len(mailgun.taken)) == (0, 9)
        answers["now"] = None  # the key was mended
        _queue(settings, range(9, 12))
        assert deliver(later(settings, minutes=12)) == {"accepted": 12}
        assert (len(sendgrid.taken), len(mailgun.taken)) == (3, 9)
        with open_ledger(settings) as ledger:
            assert ledger.outages() == []


def test_trouble_of_long_ago_says_nothing_about_today(home):
    with api_server(FakeSendGrid, lambda _: DOWN) as sendgrid, api_server(FakeMailgun) as mailgun:
        settings = home(sendgrid, mailgun)
        _queue(settings, range(3))
        for minutes in (0, 2, 300):
            with pytest.raises(Retryable):
                deliver(later(settings, minutes=minutes))
        with open_ledger(settings) as ledger:
            (outage,) = ledger.outages()
        assert (outage.attempts, outage.since) == (1, later(settings, minutes=300).now)
    assert mailgun.taken == []


def test_who_takes_some_each_time_is_not_stood_in_for(home):
    takes = iter([True, False, False, False] * 10)  # ten letters, then it wants to be left alone, three times
    with (
        api_server(FakeSendGrid, lambda _: None if next(takes) else Reply(429)) as sendgrid,
        api_server(FakeMailgun) as mailgun,
    ):
        settings = home(sendgrid, mailgun, delivery_fallback_after=1)
        _queue(settings, range(60))
        for minutes in (0, 10, 20, 40):
            with pytest.raises(Retryable):
                deliver(later(settings, minutes=minutes))
    assert (len(sendgrid.taken), len(mailgun.taken)) == (40, 0)


def test_two_in_trouble_lose_nothing(home):
    with (
        api_server(FakeSendGrid, lambda _: DOWN) as sendgrid,
        api_server(FakeMailgun, lambda number: DOWN if number < 4 else None) as mailgun,
    ):
        settings = home(sendgrid, mailgun, delivery_fallback_after=1)
        _queue(settings, range(3))
        for minutes in (0, 2):
            with pytest.raises(Retryable, match="SendGrid"):
                deliver(later(settings, minutes=minutes))
        with pytest.raises(Retryable, match="Mailgun"):
            deliver(later(settings, minutes=20))
        assert deliver(later(settings, minutes=60)) == {"accepted": 3}


def test_one_letter_that_has_to_wait_is_no_trouble_and_neither_is_our_own_disk(home, monkeypatch):
    with api_server(FakeSendGrid) as sendgrid, api_server(FakeMailgun) as mailgun:
        settings = home(sendgrid, mailgun)
        _queue(settings, range(3))
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", lambda _file, line: len(line) // 2)
            with pytest.raises(Retryable, match="disk is full"):
                deliver(settings)
        with open_ledger(settings) as ledger:
            assert ledger.outages() == []
        assert deliver(later(settings, minutes=20)) == {"accepted": 3}
    assert len(sendgrid.taken) == 3


@pytest.mark.parametrize(("delivery", "fallback"), [("mailbox", "smtp"), ("sendgrid", "sendgrid"), ("smtp", "mailbox")])
def test_only_another_provider_of_real_mail_can_stand_in(delivery, fallback, tmp_path):
    with pytest.raises(BadConfig, match="PERENNIAL_DELIVERY_FALLBACK") as error:
        load_settings(home=tmp_path, delivery=delivery, delivery_fallback=fallback, sendgrid_api_key=KEY)
    assert KEY not in str(error.value)


def test_the_doctor_asks_both_and_names_what_is_missing(home):
    with api_server(FakeSendGrid) as sendgrid, api_server(FakeMailgun) as mailgun:
        settings = home(sendgrid, mailgun)
        found = doctor._mail(settings)
        assert found.what == f"127.0.0.1:{sendgrid.port} answers, 127.0.0.1:{mailgun.port} answers"
        assert found.state == "ok"
        found = doctor._mail(home(sendgrid, mailgun, mailgun_api_key=None))
        assert (found.state, "PERENNIAL_MAILGUN_API_KEY" in found.what) == ("wrong", True)
    found = doctor._mail(settings)
    assert (found.state, "PERENNIAL_SENDGRID_URL" in found.what) == ("wrong", True)
