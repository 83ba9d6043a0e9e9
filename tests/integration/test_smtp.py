import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from smtp_servers import DROP, SILENCE, smtp_server

from perennial.delivery.provider import Mail, Verdict
from perennial.delivery.smtp import SmtpLetter, SmtpProvider, SmtpServer, prepare
from perennial.foundation.errors import BadConfig, Permanent, Retryable


def _letters(count, content=b"Subject: x\r\n\r\nbody\r\n"):
    return [
        SmtpLetter(f"m{number}", "hello@shop.example", f"p{number}@mail.example", content)
        for number in range(1, count + 1)
    ]


def _send(server, letters, *, timeout=5.0, **options):
    """The verdicts by message, and the messages handed off."""
    handed, results = [], []
    with SmtpProvider(SmtpServer("127.0.0.1", server.port, timeout=timeout, **options)) as provider:
        try:
            results.extend(provider.send(letters, handed.append))
        except (Permanent, Retryable) as error:
            return results, handed, error
    return results, handed, None


def _verdicts(results):
    return [result.verdict.value for result in results]


def _at(step, number, answer):
    return lambda at, count: answer if (at, count) == (step, number) else None


@pytest.fixture(params=[False, True], ids=["lockstep", "pipelined"])
def is_pipelining(request):
    return request.param


def test_letters_go_over_one_connection_and_arrive_as_they_were_written(is_pipelining):
    text = (".\n..two\n", ".", "\n.hidden\n" + "x" * 74 + ".y\n", ".", "end\n.\n")
    mail = Mail(
        message_id="m",
        campaign="win_back",
        sender="Shop <hello@shop.example>",
        recipient="p@mail.example",
        date=datetime(2026, 2, 1, tzinfo=UTC),
        subject=(".",),
        html=text,
        text=text,
    )
    with smtp_server(is_pipelining=is_pipelining) as server:
        letters = [replace(prepare(mail), message_id=f"m{number}") for number in (1, 2, 3)]
        results, handed, error = _send(server, letters)
    assert _verdicts(results) == ["accepted"] * 3
    assert error is None
    assert handed == ["m1", "m2", "m3"]
    assert server.taken == [prepare(mail).content] * 3
    parts = message_from_bytes(server.taken[0], policy=policy.default).iter_parts()
    assert [part.get_content().replace("\r\n", "\n") for part in parts] == ["".join(text)] * 2
    assert server.connections == 1
    assert server.ahead == (2 if is_pipelining else 0)


def test_the_connection_serves_batch_after_batch():
    with smtp_server(is_pipelining=True) as server, SmtpProvider(SmtpServer("127.0.0.1", server.port)) as provider:
        for _ in range(3):
            assert _verdicts(provider.send(_letters(2), lambda _: None)) == ["accepted"] * 2
    assert (server.connections, server.steps["QUIT"]) == (1, 1)


@pytest.mark.parametrize(
    ("step", "answer", "verdict", "is_handed"),
    [
        ("RCPT", "550 no such user p2@mail.example", "failed", False),
        ("RCPT", "451 try later", "retry", False),
        ("MAIL", "451 try later", "retry", False),
        ("DATA", "554 no", "failed", False),
        ("DATA", "451 later", "retry", False),
        ("DOT", "554 spam", "failed", True),
        ("DOT", "451 later", "retry", True),
        ("DOT", "421 closing", "retry", True),
        ("DOT", DROP, "unknown", True),
        ("DOT", SILENCE, "unknown", True),
        ("DOT", "999 what", "unknown", True),
        ("DOT", "nonsense", "unknown", True),
        ("BODY", DROP, "retry", True),
    ],
)
def test_the_second_of_three_letters_gets_what_is_known_and_the_others_go_on(
    is_pipelining, step, answer, verdict, is_handed
):
    content = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"
    if step == "BODY":
        content += (b"x" * 70 + b"\r\n") * 100_000  # more than the socket buffers hold: the drop is seen mid-body
    with smtp_server(_at(step, 2, answer), is_pipelining=is_pipelining) as server:
        results, handed, error = _send(server, _letters(3, content), timeout=0.5 if answer == SILENCE else 5)
    assert _verdicts(results) == ["accepted", verdict, "accepted"]
    assert error is None
    assert ("m2" in handed) == is_handed
    assert "p2@mail.example" not in results[1].reply
    assert len(server.taken) == 2


def test_a_server_that_asks_for_the_body_of_a_refused_letter_gets_none():
    script = {("RCPT", 2): "550 no", ("DATA", 2): "354 all the same", ("DOT", 2): "554 no valid recipients"}
    with smtp_server(lambda *at: script.get(at), is_pipelining=True) as server:
        results, handed, error = _send(server, _letters(3))
    assert _verdicts(results) == ["accepted", "failed", "accepted"]
    assert results[1].reply == "RCPT: 550 no"
    assert handed == ["m1", "m3"]
    assert (server.bodies[1], server.connections, error) == (b"", 1, None)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", [DROP, SILENCE, "421 too many messages on this connection"])
def test_a_connection_that_ends_before_the_body_is_opened_again_for_the_same_letter(is_pipelining, step, answer):
    with smtp_server(_at(step, 2, answer), is_pipelining=is_pipelining) as server:
        results, handed, _ = _send(server, _letters(3), timeout=0.5 if answer == SILENCE else 5)
    assert _verdicts(results) == ["accepted"] * 3
    assert handed == ["m1", "m2", "m3"]
    assert server.connections == 2


@pytest.mark.parametrize("answer", [DROP, "421 busy"])
def test_a_server_that_keeps_closing_is_given_up_with_nothing_handed_over(is_pipelining, answer):
    with smtp_server(lambda step, _: answer if step == "RCPT" else None, is_pipelining=is_pipelining) as server:
        results, handed, error = _send(server, _letters(9))
    assert _verdicts(results) == ["retry"] * 3
    assert handed == []
    assert isinstance(error, Retryable)
    assert f"127.0.0.1:{server.port} closed the connection 3 times" in str(error)
    assert "mail.example" not in str(error)


def test_a_server_that_drops_after_every_dot_makes_few_letters_unknown(is_pipelining):
    with smtp_server(lambda step, _: DROP if step == "DOT" else None, is_pipelining=is_pipelining) as server:
        results, handed, error = _send(server, _letters(9))
    assert _verdicts(results) == ["unknown"] * 3
    assert handed == ["m1", "m2", "m3"]
    assert isinstance(error, Retryable)


@pytest.mark.parametrize("accepted", [0, 1])
def test_a_refused_sender_stops_everything_and_fails_no_letter(is_pipelining, accepted):
    def script(step, number):
        return "550 who are you" if step == "MAIL" and number > accepted else None

    with smtp_server(script, is_pipelining=is_pipelining) as server:
        results, handed, error = _send(server, _letters(3))
    assert (_verdicts(results), len(handed)) == (["accepted"] * accepted, accepted)
    assert type(error) is Permanent
    assert "refuses our sender" in str(error)


@pytest.mark.parametrize("answer", [DROP, "554 go away", "421 busy"])
def test_a_server_that_does_not_greet_is_unreachable(answer):
    with smtp_server(_at("CONNECT", 1, answer)) as server:
        results, handed, error = _send(server, _letters(3))
    assert (results, handed) == ([], [])
    assert isinstance(error, Retryable)
    assert f"127.0.0.1:{server.port} cannot be reached" in str(error)


def test_no_server_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with SmtpProvider(SmtpServer("127.0.0.1", port)) as provider, pytest.raises(Retryable, match=f"127.0.0.1:{port}"):
        list(provider.send(_letters(1), lambda _: None))


@pytest.mark.parametrize("options", [{"security": "starttls"}, {"user": "u", "password": "p"}])
def test_a_server_without_what_we_are_told_to_use_is_a_wrong_setting(options):
    with smtp_server() as server:
        results, handed, error = _send(server, _letters(1), **options)
    assert (results, handed) == ([], [])
    assert isinstance(error, BadConfig)


def test_a_wrong_password_is_a_wrong_setting_and_stays_secret():
    def script(step, _number):
        return {"EHLO": "250-test\r\n250 AUTH PLAIN", "AUTH": "535 no"}.get(step)

    with smtp_server(script) as server:
        server.steps["AUTH"] = 0
        _, _, error = _send(server, _letters(1), user="someone@shop.example", password="tulips")
    assert isinstance(error, BadConfig)
    assert "PERENNIAL_SMTP_USER" in str(error)
    assert not any(secret in str(error) for secret in ("tulips", "someone"))
    assert "tulips" not in repr(SmtpServer("host", 25, password="tulips"))


def test_a_hand_off_that_cannot_be_noted_sends_no_body(is_pipelining):
    def full_disk(_message_id):
        raise Retryable("the journal cannot be written")

    with (
        smtp_server(is_pipelining=is_pipelining) as server,
        SmtpProvider(SmtpServer("127.0.0.1", server.port)) as provider,
    ):
        with pytest.raises(Retryable, match="journal"):
            list(provider.send(_letters(2), full_disk))
        assert server.bodies == []
        results = list(provider.send(_letters(1), lambda _: None))
    assert [result.verdict for result in results] == [Verdict.ACCEPTED]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    plain = serialization.NoEncryption()
    pkcs8 = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + pkcs8)
    return path


def _tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_letters_go_over_tls(is_pipelining, security, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    content = b"Subject: x\r\n\r\n" + b"x" * 70_000 + b"\r\n"
    with smtp_server(
        _at("DOT", 2, DROP), is_pipelining=is_pipelining, tls=_tls(certificate), security=security
    ) as server:
        results, _, error = _send(server, _letters(3, content), security=security)
    assert (_verdicts(results), error) == (["accepted", "unknown", "accepted"], None)
    assert server.taken == [content] * 2


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_that_nobody_vouches_for_is_a_wrong_setting(security, certificate):
    with smtp_server(tls=_tls(certificate), security=security) as server:
        results, handed, error = _send(server, _letters(1), security=security)
    assert (results, handed) == ([], [])
    assert isinstance(error, BadConfig)
    assert "PERENNIAL_SMTP_SECURITY" in str(error)


@pytest.mark.parametrize(
    ("security", "short_of_the_dot", "verdict", "taken"),
    [("none", 1, "retry", 2), ("none", 0, "unknown", 3), ("tls", 16_385, "retry", 2), ("tls", 1, "unknown", 2)],
)
def test_a_write_that_breaks_off_tells_by_its_bytes_whether_the_dot_may_have_left(
    monkeypatch, certificate, security, short_of_the_dot, verdict, taken
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    letters = _letters(3, b"Subject: x\r\n\r\n" + b"x" * 40_000 + b"\r\n")
    room = [0]  # bytes of the second letter that still leave
    kind = ssl.SSLSocket if security == "tls" else socket.socket
    send = kind.send

    def breaking(connection, content):
        if handed != ["m1", "m2"] or room[0] is None or getattr(connection, "server_side", False):
            return send(connection, content)
        if not room[0]:
            room[0] = None
            raise ConnectionResetError("Connection reset by peer")
        sent = send(connection, content[: room[0]])
        room[0] -= sent
        return sent

    handed = []
    options = {"tls": _tls(certificate), "security": security} if security == "tls" else {}
    with smtp_server(is_pipelining=True, **options) as server:
        target = SmtpServer("127.0.0.1", server.port, security=security, timeout=5)
        room[0] = len(letters[1].content) + len(b".\r\n") - short_of_the_dot
        monkeypatch.setattr(kind, "send", breaking)
        with SmtpProvider(target) as provider:
            results = list(provider.send(letters, handed.append))
    assert _verdicts(results) == ["accepted", verdict, "accepted"]
    assert handed == ["m1", "m2", "m3"]
    assert len(server.taken) == taken


def test_smtp_cannot_tell_what_it_took():
    assert SmtpProvider(SmtpServer("127.0.0.1", 25)).lookup({"m1"}) is None
