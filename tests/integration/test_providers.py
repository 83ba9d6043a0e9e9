"""What every provider must do, whatever it is: the promise of `delivery/provider.py`, over real sockets."""

import logging
import random
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from uuid import UUID, uuid5

import pytest
from api_servers import (
    DOMAIN,
    KEY,
    RESET_AFTER,
    RESET_BEFORE,
    RESET_DURING,
    SILENCE,
    TAKE_AND_BREAK_OFF,
    TAKE_AND_RESET,
    FakeMailgun,
    FakeSendGrid,
    Reply,
    Taken,
    api_server,
)
from smtp_servers import DROP, smtp_server
from smtp_servers import SILENCE as NO_ANSWER

from outbox import settings_in
from perennial.delivery.provider import Mail, Verdict, open_provider
from perennial.foundation.errors import PerennialError, Retryable

HOSTILE = [
    "Eve\r\nBcc: victim@x.example",
    "Eve\nBcc: victim@x.example",
    "Eve\x00\x0b",
    "Eve\u2028Bcc: victim@x.example\u2029",
    "=?UTF-8?Q?=0A?=Bcc: victim@x.example",
    "{{7*7}} {{{html}}} ${7*7}",
    "%recipient.name% %recipient.x0n1e% %recipient%",
    "%unsubscribe_url% %recipient_email%",
    "-name- -sub- :name [unsubscribe] <%asm_group_unsubscribe_url%>",
    "<script>alert('x')</script>",
    "100 % sure, 50%",
    '"quoted" \\ back',
    ".",
    "\r\n.\r\nMAIL FROM:<x@y.example>",
    "晓雨🪴",
    "",
]


def mail(number, name=None, **changes):
    name = f"Ada{number}" if name is None else name
    fields = {
        "message_id": str(uuid5(UUID(int=0), str(number))),
        "campaign": "win_back",
        "sender": '"Blüten & Co, Ltd." <hello@shop.example>',
        "recipient": f"person{number}@mail.example",
        "date": datetime(2026, 2, 1, 8, 30, tzinfo=UTC),
        "subject": ("We miss you, ", name),
        "html": ("<p>Hello ", name, "</p>\n<p>30% off until Sunday, %recipient%</p> ", name, "<hr>"),
        "text": ("Hello ", name, "\n.\n30% off until Sunday\n", f"https://shop.example/{number}"),
        "unsubscribe_url": f"https://shop.example/unsubscribe/{number}",
    }
    return Mail(**{**fields, **changes})


@contextmanager
def smtp(tmp_path, script=lambda _step, _number: None):
    with smtp_server(script) as server:
        settings = settings_in(tmp_path, smtp_port=server.port, smtp_timeout=0.5)
        with open_provider("smtp", settings) as provider:
            yield provider, lambda: [_read(content) for content in server.taken]


@contextmanager
def mailbox(tmp_path):
    settings = settings_in(tmp_path)
    with open_provider("mailbox", settings) as provider:
        yield provider, lambda: [_read(path.read_bytes()) for path in sorted(settings.mailbox_dir.glob("*.eml"))]


def _api(kind):
    @contextmanager
    def serve(tmp_path, script=lambda _number: None):
        with api_server(kind, script) as server:
            settings = settings_in(
                tmp_path,
                sendgrid_api_key=KEY,
                sendgrid_url=server.url,
                mailgun_api_key=KEY,
                mailgun_url=server.url,
                mailgun_domain=DOMAIN,
                api_timeout=0.5,
            )
            with open_provider("sendgrid" if kind is FakeSendGrid else "mailgun", settings) as provider:
                yield provider, lambda: server.taken

    return serve


PROVIDERS = {"smtp": smtp, "sendgrid": _api(FakeSendGrid), "mailgun": _api(FakeMailgun)}


def _read(content):
    read = message_from_bytes(content, policy=policy.default)
    text, html = (part.get_content() for part in read.iter_parts())
    headers = {name: str(value) for name, value in read.items()}
    visible = tuple(address.addr_spec for address in read["To"].addresses)
    return Taken(read["X-Perennial-Message"], visible, read["From"], read["Subject"], html, text, headers)


def send(provider, mails):
    """Results, the messages handed over, and the error in the end."""
    results, handed = [], []
    try:
        results.extend(provider.send(map(provider.prepare, mails), handed.append))
    except PerennialError as error:
        return results, handed, error
    return results, handed, None


def hold_to_the_promise(mails, results, handed, taken):
    """Whatever happened, what is said of each mail is true."""
    verdicts = {result.message_id: result.verdict for result in results}
    assert len(verdicts) == len(results)  # one each
    unsaid = {mail.message_id for mail in mails} - verdicts.keys()
    assert not unsaid & set(handed)
    arrived = [mail.message_id for mail in taken]
    assert len(arrived) == len(set(arrived))  # none twice
    assert set(arrived) <= set(handed)
    for message_id, verdict in verdicts.items():
        if verdict is Verdict.ACCEPTED:
            assert message_id in arrived
        if verdict in (Verdict.RETRY, Verdict.FAILED):
            assert message_id not in arrived
    assert not set(arrived) & unsaid
    assert not any("@" in result.reply or KEY in result.reply for result in results)


def _visible(text):
    """The text as a reader sees it: a word joiner is nothing, what no mail can hold is a replacement."""
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\x00\x0b]", "\ufffd", unix).replace("\u2060", "").replace("&#37;", "%").rstrip("\n")


@pytest.mark.parametrize("name", ["mailbox", *PROVIDERS])
def test_every_mail_arrives_once_to_its_receiver_alone_and_reads_as_it_was_written(name, tmp_path, caplog):
    mails = [mail(number, hostile) for number, hostile in enumerate(HOSTILE)]
    mails += [mail(100), mail(101, html=("<p>another</p>",)), mail(102, unsubscribe_url=None)]
    with caplog.at_level(logging.DEBUG), (PROVIDERS | {"mailbox": mailbox})[name](tmp_path) as (provider, taken):
        results, handed, error = send(provider, mails)
        arrived = {mail.message_id: mail for mail in taken()}
        hold_to_the_promise(mails, results, handed, taken())
    assert error is None
    assert [result.verdict for result in results] == [Verdict.ACCEPTED] * len(mails)
    assert sorted(handed) == sorted(mail.message_id for mail in mails)
    assert not any(private in caplog.text for private in ("mail.example", KEY, "Ada100"))
    for sent in mails:
        got = arrived[sent.message_id]
        assert got.visible_to == (sent.recipient,)
        assert "hello@shop.example" in got.sender
        assert " ".join(got.subject.replace("\u2060", "").split()) == " ".join(
            re.sub("[\x00-\x1f\u2028\u2029]", " ", "".join(sent.subject)).split()
        )
        assert _visible(got.html) == _visible("".join(sent.html))
        assert _visible(got.text) == _visible("".join(sent.text))
        assert got.headers["X-Perennial-Message"] == sent.message_id
        assert got.headers.get("List-Unsubscribe") == (sent.unsubscribe_url and f"<{sent.unsubscribe_url}>")
        assert ("List-Unsubscribe-Post" in got.headers) == (sent.unsubscribe_url is not None)
        assert not {"bcc", "cc"} & {header.lower() for header in got.headers}


def _smtp_at(step, answer):
    return lambda at, _: answer if at == step else None


FAULTS = {
    "smtp": {
        "refused for good": (_smtp_at("RCPT", "550 no such user person1@mail.example"), Verdict.FAILED),
        "refused for now": (_smtp_at("RCPT", "451 later"), Verdict.RETRY),
        "throttled": (_smtp_at("RCPT", "421 too many"), Verdict.RETRY),
        "reset before": (_smtp_at("MAIL", DROP), Verdict.RETRY),
        "reset after": (_smtp_at("DOT", DROP), Verdict.UNKNOWN),
        "silent": (_smtp_at("DOT", NO_ANSWER), Verdict.UNKNOWN),
    }
}
for _name, _refusal in (
    ("sendgrid", '{"errors": [{"field": "content", "message": "not by person1@mail.example"}]}'),
    ("mailgun", '{"message": "person1@mail.example is refused"}'),
):
    FAULTS[_name] = {
        # Mailgun says nothing about whom: when all are refused it may be about us.
        "refused for good": (Reply(400, _refusal), Verdict.FAILED if _name == "sendgrid" else Verdict.RETRY),
        "refused for now": (Reply(503), Verdict.RETRY),
        "throttled": (Reply(429, headers=(("Retry-After", "0"),)), Verdict.RETRY),
        "reset after": (TAKE_AND_RESET, Verdict.UNKNOWN),
        "lost after": (RESET_AFTER, Verdict.UNKNOWN),
        "silent": (SILENCE, Verdict.UNKNOWN),
        "error": (Reply(500, "person1@mail.example " + KEY), Verdict.UNKNOWN),
        "broken off": (TAKE_AND_BREAK_OFF, Verdict.ACCEPTED if _name == "sendgrid" else Verdict.UNKNOWN),
        "forbidden": (Reply(401, f'{{"message": "{KEY} of person1@mail.example"}}'), Verdict.RETRY),
    }


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_what_is_said_of_each_mail_is_true_whatever_goes_wrong(name, fault, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    what, verdict = FAULTS[name][fault]
    mails = [mail(number) for number in range(4)]
    with PROVIDERS[name](tmp_path, what if callable(what) else lambda _number: what) as (provider, taken):
        results, handed, error = send(provider, mails)
        hold_to_the_promise(mails, results, handed, taken())
    assert {result.verdict for result in results} == {verdict}
    assert not any(private in str(error) for private in ("mail.example", KEY))


def _any_smtp_fault(step, chance):
    if step not in ("MAIL", "RCPT", "DATA", "BODY", "DOT"):
        return None
    answers = [DROP] if step == "BODY" else [DROP, "550 no", "451 later", "421 closing"]
    return chance.choice([*[None] * 9, *answers])


def _any_api_fault(chance):
    resets = [RESET_BEFORE, RESET_DURING, RESET_AFTER, TAKE_AND_RESET, TAKE_AND_BREAK_OFF]
    replies = [Reply(429), Reply(500), Reply(400), Reply(413), Reply(503, is_early=True)]
    return chance.choice([None, None, None, *resets, *replies])


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_is_said_is_true_in_any_order_of_things(name, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    verdicts = set()
    for round_ in range(25):

        def script(*moment, round_=round_):
            chance = random.Random(f"{round_} {moment}")
            return _any_smtp_fault(moment[0], chance) if name == "smtp" else _any_api_fault(chance)

        mails = [mail(number, html=(f"<p>{number % 3}", f"{number}")) for number in range(40)]
        with PROVIDERS[name](tmp_path / str(round_), script) as (provider, taken):
            results, handed, _ = send(provider, mails)
            hold_to_the_promise(mails, results, handed, taken())
        verdicts |= {result.verdict for result in results}
    assert verdicts == set(Verdict)


@pytest.mark.parametrize("name", PROVIDERS)
def test_nothing_leaves_before_it_is_noted(name, tmp_path):
    def full_disk(_message_id):
        raise Retryable("the journal cannot be written")

    with PROVIDERS[name](tmp_path) as (provider, taken):
        with pytest.raises(Retryable, match="journal"):
            list(provider.send([provider.prepare(mail(1))], full_disk))
        assert taken() == []
        results, _, _ = send(provider, [mail(2)])
    assert [result.verdict for result in results] == [Verdict.ACCEPTED]


@pytest.mark.parametrize("name", PROVIDERS)
def test_who_cannot_be_reached_is_named_and_given_nothing(name, tmp_path):
    with PROVIDERS[name](tmp_path) as (provider, _):
        pass  # its server is gone
    results, handed, error = send(provider, [mail(1), mail(2)])
    assert handed == []
    assert {result.verdict for result in results} <= {Verdict.RETRY}
    assert isinstance(error, Retryable)
    assert "127.0.0.1" in str(error)
    assert "mail.example" not in str(error)
