"""SendGrid and Mailgun, each by itself: many recipients at once, culprits, limits, and what a broken request means."""

import html
import json
import ssl
from datetime import UTC, datetime

import pytest
from api_servers import (
    DOMAIN,
    KEY,
    RESET_BEFORE,
    RESET_DURING,
    FakeMailgun,
    FakeSendGrid,
    Reply,
    api_server,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from test_providers import HOSTILE, hold_to_the_promise, mail, send

from outbox import CAMPAIGN, DAY, context_of, freeze, new_message, settings_in
from perennial.delivery import api
from perennial.delivery.mailgun import MailgunProvider
from perennial.delivery.provider import Verdict, open_provider
from perennial.delivery.sendgrid import SendGridProvider
from perennial.delivery.tokens import signing_secret, unseal
from perennial.flows.delivery import deliver
from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.ledger import open_ledger
from perennial.templates.context import RenderContext

BOTH = [(FakeSendGrid, SendGridProvider), (FakeMailgun, MailgunProvider)]
both = pytest.mark.parametrize(("kind", "provider_of"), BOTH, ids=["sendgrid", "mailgun"])
TOTAL = 1_000  # go as 10, 100 and 890


@pytest.fixture
def settings_of(tmp_path):
    def settings(server, **changes):
        keys = {"sendgrid_api_key": KEY, "mailgun_api_key": KEY, "mailgun_domain": DOMAIN, "api_timeout": 5}
        return settings_in(tmp_path, sendgrid_url=server.url, mailgun_url=server.url, **{**keys, **changes})

    return settings


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited for, without waiting."""
    seconds = []
    monkeypatch.setattr(api.time, "sleep", lambda wait: seconds.append(wait) if wait else None)
    return seconds


def _heavy(number):
    """A mail with values of its own of 9 kB."""
    return mail(number, text=("Hello ", f"{number:>9000}"))


@both
def test_a_thousand_go_in_one_request_over_one_connection(kind, provider_of, settings_of):
    mails = [mail(number) for number in range(2 * TOTAL + 500)]
    with api_server(kind) as server, provider_of(settings_of(server)) as provider:
        results, handed, error = send(provider, mails)
    hold_to_the_promise(mails, results, handed, server.taken)
    assert {result.verdict for result in results} == {Verdict.ACCEPTED}
    assert [len(recipients) for recipients in server.requests] == [10, 100, 890, 1000, 500]
    assert server.connections == 1
    assert error is None


@both
def test_letters_of_several_texts_are_gathered_by_text(kind, provider_of, settings_of):
    mails = [mail(number, html=(f"<p>campaign {number % 3}</p>",)) for number in range(30)]
    with api_server(kind) as server, provider_of(settings_of(server)) as provider:
        send(provider, mails)
    assert [len(recipients) for recipients in server.requests] == [10, 10, 10]
    assert {taken.message_id: taken.html for taken in server.taken} == {
        mail.message_id: "".join(mail.html) for mail in mails
    }


@both
def test_two_mails_to_one_address_are_two_requests(kind, provider_of, settings_of):
    mails = [mail(1), mail(2, recipient="PERSON1@mail.example"), mail(3)]
    with api_server(kind) as server, provider_of(settings_of(server)) as provider:
        results, handed, _ = send(provider, mails)
    hold_to_the_promise(mails, results, handed, server.taken)
    assert sorted(len(recipients) for recipients in server.requests) == [1, 2]
    assert [taken.subject for taken in server.taken] == ["We miss you, Ada1", "We miss you, Ada2", "We miss you, Ada3"]


@both
def test_the_culprit_of_a_refusal_fails_and_the_others_go_once(kind, provider_of, settings_of):
    mails = [mail(number) for number in range(TOTAL)]
    mails[700] = mail(700, recipient="refused@mail.example")
    with api_server(kind) as server, provider_of(settings_of(server)) as provider:
        results, handed, error = send(provider, mails)
    hold_to_the_promise(mails, results, handed, server.taken)
    assert [result.message_id for result in results if result.verdict is Verdict.FAILED] == [mails[700].message_id]
    assert len(server.taken) == TOTAL - 1
    assert error is None
    if kind is FakeSendGrid:
        assert [len(recipients) for recipients in server.requests] == [10, 100, 890, 889]
    else:
        assert len(server.requests) <= 3 + 2 * 10  # by halves: 2 log2(1000)


def test_several_culprits_are_all_found(settings_of):
    mails = [
        mail(number, recipient=f"{'refused' if number % 4 == 1 else 'p'}{number}@x.example") for number in range(8)
    ]
    with api_server(FakeMailgun) as server, MailgunProvider(settings_of(server)) as provider:
        results, handed, _ = send(provider, mails)
    hold_to_the_promise(mails, results, handed, server.taken)
    failed = {result.message_id for result in results if result.verdict is Verdict.FAILED}
    assert failed == {mails[1].message_id, mails[5].message_id}


@both
def test_who_refuses_everybody_without_a_word_is_told_and_nobody_fails(kind, provider_of, settings_of):
    mails = [mail(number) for number in range(300)]
    with (
        api_server(kind, lambda _number: Reply(400, "[[[[")) as server,
        provider_of(settings_of(server)) as provider,
    ):
        results, _, error = send(provider, mails)
    assert type(error) is Permanent
    assert "refuses each of 10 mails" in str(error)
    assert [result.verdict for result in results] == [Verdict.RETRY] * 10
    assert len(server.requests) == 19  # of ten letters, not of 300


@both
def test_long_values_go_alone_as_they_are(kind, provider_of, settings_of):
    long = "产品，" * 2_000  # noqa: RUF001
    mails = [mail(number, text=("Hello ", long * (number == 2) + str(number))) for number in range(4)]
    with api_server(kind) as server, provider_of(settings_of(server)) as provider:
        results, handed, error = send(provider, mails)
    hold_to_the_promise(mails, results, handed, server.taken)
    assert error is None
    assert sorted(len(recipients) for recipients in server.requests) == [1, 3]
    texts = {taken.message_id: taken.text for taken in server.taken}
    assert texts == {mail.message_id: "".join(mail.text) for mail in mails}


def test_values_that_are_refused_all_the_same_go_as_they_are(settings_of):
    refusal = '{"errors": [{"field": "personalizations.0.substitutions", "message": "too many"}]}'
    mails = [mail(number) for number in range(3)]
    with (
        api_server(FakeSendGrid, lambda number: Reply(400, refusal) if number == 1 else None) as server,
        SendGridProvider(settings_of(server)) as provider,
    ):
        results, handed, _ = send(provider, mails)
    hold_to_the_promise(mails, results, handed, server.taken)
    assert [len(recipients) for recipients in server.requests] == [3, 1, 1, 1]
    assert {result.verdict for result in results} == {Verdict.ACCEPTED}


@both
def test_too_much_at_once_is_halved(kind, provider_of, settings_of):
    with (
        api_server(kind, lambda number: Reply(413) if number == 1 else None) as server,
        provider_of(settings_of(server)) as provider,
    ):
        results, _, _ = send(provider, [mail(number) for number in range(10)])
    assert [len(recipients) for recipients in server.requests] == [10, 5, 5]
    assert len(results) == len(server.taken) == 10


DATE = ("Date", "Sun, 01 Feb 2026 08:30:00 GMT")


@both
@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (Reply(429, headers=(DATE, ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1769934607"))), 7),
        (Reply(429, headers=(("Retry-After", "12"),)), 12),
        (Reply(503, headers=(DATE, ("Retry-After", "Sun, 01 Feb 2026 08:30:05 GMT"))), 5),
        (Reply(429), 1),
        (Reply(429, headers=(DATE, ("X-RateLimit-Reset", "soon"))), 1),
    ],
)
def test_who_is_told_to_wait_waits_and_sends_the_same_again(kind, provider_of, reply, wait, settings_of, waits):
    mails = [mail(number) for number in range(5)]
    with (
        api_server(kind, lambda number: reply if number < 3 else None) as server,
        provider_of(settings_of(server)) as provider,
    ):
        results, handed, _ = send(provider, mails)
    hold_to_the_promise(mails, results, handed, server.taken)
    assert waits == [wait, wait]
    assert [result.verdict for result in results] == [Verdict.ACCEPTED] * 5


def test_the_last_request_that_is_allowed_is_followed_by_a_pause(settings_of, waits):
    class Counting(FakeSendGrid):
        def accepted(self):
            headers = (DATE, ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1769934603"))
            return Reply(202, headers=headers)

    with api_server(Counting) as server, SendGridProvider(settings_of(server)) as provider:
        results, _, _ = send(provider, [mail(number) for number in range(30)])
    assert [result.verdict for result in results] == [Verdict.ACCEPTED] * 30
    assert waits == [3]


@both
@pytest.mark.parametrize("reply", [Reply(429, headers=(("Retry-After", "3600"),)), Reply(503)])
def test_a_long_pause_is_left_to_the_next_run(kind, provider_of, reply, settings_of, waits):
    mails = [mail(number) for number in range(30)]
    with (
        api_server(kind, lambda number: reply if number > 1 else None) as server,
        provider_of(settings_of(server)) as provider,
    ):
        results, handed, error = send(provider, mails)
    hold_to_the_promise(mails, results, handed, server.taken)
    assert type(error) is Retryable
    assert sorted(result.verdict for result in results) == [Verdict.ACCEPTED] * 10 + [Verdict.RETRY] * 20
    assert sum(waits) <= 3


@both
@pytest.mark.parametrize("fault", [RESET_BEFORE, RESET_DURING, Reply(500, is_early=True), Reply(503, is_early=True)])
def test_what_has_not_left_whole_is_tried_again(kind, provider_of, fault, settings_of):
    mails = [_heavy(number) for number in range(TOTAL)]  # the third request has 8 MB: it cannot be in buffers
    with (
        api_server(kind, lambda number: fault if number == 3 else None) as server,
        provider_of(settings_of(server, api_timeout=0.3)) as provider,
    ):
        results, handed, error = send(provider, mails)
        hold_to_the_promise(mails, results, handed, server.taken)
        assert [result.verdict for result in results] == [Verdict.ACCEPTED] * 110 + [Verdict.RETRY] * 890
        assert error is None
        assert len(server.taken) == 110


@both
def test_a_refusal_of_what_is_still_being_sent_is_heard(kind, provider_of, settings_of):
    refusal = Reply(401, '{"message": "who are you"}', is_early=True)
    with (
        api_server(kind, lambda number: refusal if number == 3 else None) as server,
        provider_of(settings_of(server, api_timeout=0.3)) as provider,
    ):
        results, _, error = send(provider, [_heavy(number) for number in range(TOTAL)])
    assert type(error) is BadConfig
    assert [result.verdict for result in results[110:]] == [Verdict.RETRY] * 890


@both
def test_after_a_lost_answer_one_letter_goes_first(kind, provider_of, settings_of):
    mails = [mail(number) for number in range(TOTAL)]
    with (
        api_server(kind, lambda number: Reply(502) if number == 2 else None) as server,
        provider_of(settings_of(server)) as provider,
    ):
        results, handed, error = send(provider, mails)
    hold_to_the_promise(mails, results, handed, server.taken)
    assert [len(recipients) for recipients in server.requests][:5] == [10, 100, 1, 10, 100]
    assert sum(result.verdict is Verdict.UNKNOWN for result in results) == 100
    assert error is None


@both
def test_a_provider_that_never_answers_makes_few_letters_unknown(kind, provider_of, settings_of):
    with (
        api_server(kind, lambda _number: Reply(500)) as server,
        provider_of(settings_of(server)) as provider,
    ):
        results, _, error = send(provider, [mail(number) for number in range(1000)])
    verdicts = [result.verdict for result in results]
    assert verdicts[:12] == [Verdict.UNKNOWN] * 12
    assert Verdict.UNKNOWN not in verdicts[12:]
    assert isinstance(error, Retryable)


@both
@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_who_refuses_us_is_told_with_what_to_look_at(kind, provider_of, status, settings_of):
    echo = json.dumps({"message": f"not with {KEY}, person1@mail.example", "errors": [{"message": KEY}]})
    with (
        api_server(kind, lambda _number: Reply(status, echo)) as server,
        provider_of(settings_of(server)) as provider,
    ):
        results, _, error = send(provider, [mail(1), mail(2)])
    assert type(error) is BadConfig
    assert f"refuses us: {status}" in str(error)
    assert f"PERENNIAL_{provider_of.title.upper()}_" in str(error)
    assert not any(private in f"{error}{results}" for private in (KEY, "mail.example"))
    assert [result.verdict for result in results] == [Verdict.RETRY] * 2


@pytest.mark.parametrize(
    ("kind", "provider_of", "reply"),
    [
        (
            FakeSendGrid,
            SendGridProvider,
            '{"errors": [{"field": "from.email", "message": "hello@shop.example is bad"}]}',
        ),
        (FakeMailgun, MailgunProvider, '{"message": "\'from\' parameter is not a valid address"}'),
    ],
)
def test_a_refused_sender_is_a_wrong_setting(kind, provider_of, reply, settings_of):
    with api_server(kind, lambda _: Reply(400, reply)) as server, provider_of(settings_of(server)) as provider:
        results, _, error = send(provider, [mail(1), mail(2)])
    assert type(error) is BadConfig
    assert "PERENNIAL_SENDER" in str(error)
    assert "hello@" not in str(error)
    assert [result.verdict for result in results] == [Verdict.RETRY] * 2


@pytest.mark.parametrize(
    ("kind", "provider_of", "reply"),
    [
        (FakeSendGrid, SendGridProvider, Reply(200)),
        (FakeSendGrid, SendGridProvider, Reply(204)),
        (FakeMailgun, MailgunProvider, Reply(200, "Mailgun Magnificent API")),
        (FakeMailgun, MailgunProvider, Reply(200, "[1]")),
        (FakeMailgun, MailgunProvider, Reply(202, '{"id": "x"}')),
    ],
)
def test_a_yes_to_something_else_is_no_acceptance(kind, provider_of, reply, settings_of):
    with api_server(kind, lambda _: reply) as server, provider_of(settings_of(server)) as provider:
        results, _, _ = send(provider, [mail(1)])
    assert [result.verdict for result in results] == [Verdict.UNKNOWN]


@both
def test_rehearsals_send_nothing_and_are_accepted(kind, provider_of, settings_of):
    with api_server(kind) as server:
        settings = settings_of(server, sendgrid_sandbox=True, mailgun_test_mode=True)
        with provider_of(settings) as provider:
            results, _, error = send(provider, [mail(1), mail(2)])
    assert ([result.verdict for result in results], error) == ([Verdict.ACCEPTED] * 2, None)
    assert server.taken == []


@both
def test_a_connection_closed_while_idle_is_opened_again(kind, provider_of, settings_of):
    with api_server(kind) as server, provider_of(settings_of(server)) as provider:
        send(provider, [mail(1)])
        server.close_idle()
        results, _, _ = send(provider, [mail(2)])
    assert [result.verdict for result in results] == [Verdict.ACCEPTED]
    assert server.connections == 2


@both
def test_a_campaign_reaches_everybody_in_one_request_after_the_first(kind, provider_of, settings_of, ledger_url):
    names = [*filter(None, HOSTILE), *(f"Ada{number}" for number in range(40))]
    with api_server(kind) as server:
        settings = settings_of(server, delivery=provider_of.name, ledger=ledger_url)
        with open_ledger(settings) as ledger:
            freeze(ledger, settings, send=len(names))
            rows = [new_message(number, settings, context=context_of(name)) for number, name in enumerate(names)]
            ledger.queue(Run(DAY, Origin.LIVE), CAMPAIGN, provider_of.name, rows)
        assert deliver(settings) == {"accepted": len(names)}
        assert deliver(settings) == {"accepted": len(names)}
    assert [len(recipients) for recipients in server.requests] == [10, len(names) - 10]
    arrived = {mail.visible_to: mail for mail in server.taken}
    with open_ledger(settings) as ledger:
        for number in range(len(names)):
            mail_to = arrived[f"person{number}@mail.example",]
            name = RenderContext.model_validate(
                {**context_of(names[number]), "unsubscribe_url": "https://x"}
            ).first_name
            assert " ".join(mail_to.subject.replace("\u2060", "").split()) == " ".join(f"{name}, we miss you".split())
            assert html.unescape(mail_to.html).startswith(f"<p>Hello {name}</p>")
            assert "<script>" not in mail_to.html
            (message,) = ledger.messages_of(f"c{number}")
            assert mail_to.message_id == message["message_id"]
            assert unseal(mail_to.headers["List-Unsubscribe"].rpartition("/")[2].strip(">"), signing_secret(settings))
            assert message["provider_reply"].startswith("20")
            assert "@" not in message["provider_reply"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A file with a certificate of localhost, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    forms = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(key.private_bytes(*forms) + signed.public_bytes(Encoding.PEM))
    return file


@both
def test_by_tls_a_server_has_to_prove_who_it_is(kind, provider_of, settings_of, certificate, monkeypatch):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with api_server(kind, lambda number: Reply(500) if number == 3 else None, tls) as server:
        with provider_of(settings_of(server)) as provider:
            results, handed, error = send(provider, [mail(1)])
        assert type(error) is BadConfig
        assert "shows no valid certificate" in str(error)
        assert (handed, server.requests) == ([], [])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        mails = [mail(number) for number in range(200)]
        with provider_of(settings_of(server)) as provider:
            results, handed, error = send(provider, mails)
        hold_to_the_promise(mails, results, handed, server.taken)
    verdicts = [result.verdict for result in results]
    assert (verdicts.count(Verdict.ACCEPTED), verdicts.count(Verdict.UNKNOWN)) == (110, 90)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("sendgrid", {"sendgrid_api_key": None}, "PERENNIAL_SENDGRID_API_KEY"),
        ("mailgun", {"mailgun_api_key": ""}, "PERENNIAL_MAILGUN_API_KEY"),
        ("mailgun", {"mailgun_domain": None}, "PERENNIAL_MAILGUN_DOMAIN"),
        ("sendgrid", {"sendgrid_url": "http://api.sendgrid.com"}, "PERENNIAL_SENDGRID_URL.*https"),
        ("mailgun", {"mailgun_url": "api.mailgun.net"}, "PERENNIAL_MAILGUN_URL is no URL"),
        ("mailgun", {"mailgun_url": "https://api.mailgun.net:https"}, "PERENNIAL_MAILGUN_URL is no URL"),
        ("sendgrid", {"sendgrid_api_key": f"{KEY}\n{KEY}"}, "PERENNIAL_SENDGRID_API_KEY.*no key"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_sent(name, changes, named, tmp_path):
    keys = {"sendgrid_api_key": KEY, "mailgun_api_key": KEY, "mailgun_domain": DOMAIN}
    with pytest.raises(BadConfig, match=named) as error:
        open_provider(name, settings_in(tmp_path, **{**keys, **changes}))
    assert KEY not in str(error.value)
