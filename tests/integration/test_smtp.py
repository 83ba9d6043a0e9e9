import socket

import pytest
from smtp_servers import DROP, SILENCE, smtp_server

from perennial.delivery.provider import Letter, Verdict
from perennial.delivery.smtp import SmtpProvider, SmtpServer
from perennial.foundation.errors import BadConfig, Permanent, Retryable


def _letters(count, content=b"Subject: x\r\n\r\nbody\r\n"):
    return [
        Letter(f"m{number}", "hello@shop.example", f"p{number}@mail.example", content) for number in range(1, count + 1)
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


def test_letters_go_over_one_connection_with_dots_stuffed():
    content = b"Subject: x\r\n\r\n.\r\n..two\r\n.hidden\r\nend\r\n"
    with smtp_server() as server:
        results, handed, error = _send(server, _letters(3, content))
    assert _verdicts(results) == ["accepted"] * 3
    assert error is None
    assert handed == ["m1", "m2", "m3"]
    assert server.taken == [content] * 3
    assert server.connections == 1


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
def test_the_second_of_three_letters_gets_what_is_known_and_the_others_go_on(step, answer, verdict, is_handed):
    content = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"
    if step == "BODY":
        content += (b"x" * 70 + b"\r\n") * 100_000  # more than the socket buffers hold: the drop is seen mid-body
    with smtp_server(_at(step, 2, answer)) as server:
        results, handed, error = _send(server, _letters(3, content), timeout=0.5 if answer == SILENCE else 5)
    assert _verdicts(results) == ["accepted", verdict, "accepted"]
    assert error is None
    assert ("m2" in handed) == is_handed
    assert "p2@mail.example" not in results[1].reply
    assert len(server.taken) == 2


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", [DROP, SILENCE, "421 too many messages on this connection"])
def test_a_connection_that_ends_before_the_body_is_opened_again_for_the_same_letter(step, answer):
    with smtp_server(_at(step, 2, answer)) as server:
        results, handed, _ = _send(server, _letters(3), timeout=0.5 if answer == SILENCE else 5)
    assert _verdicts(results) == ["accepted"] * 3
    assert handed == ["m1", "m2", "m3"]
    assert server.connections == 2


@pytest.mark.parametrize("answer", [DROP, "421 busy"])
def test_a_server_that_keeps_closing_is_given_up_with_nothing_handed_over(answer):
    with smtp_server(lambda step, _: answer if step == "RCPT" else None) as server:
        results, handed, error = _send(server, _letters(9))
    assert _verdicts(results) == ["retry"] * 3
    assert handed == []
    assert isinstance(error, Retryable)
    assert f"127.0.0.1:{server.port} closed the connection 3 times" in str(error)
    assert "mail.example" not in str(error)


def test_a_server_that_drops_after_every_dot_makes_few_letters_unknown():
    with smtp_server(lambda step, _: DROP if step == "DOT" else None) as server:
        results, handed, error = _send(server, _letters(9))
    assert _verdicts(results) == ["unknown"] * 3
    assert handed == ["m1", "m2", "m3"]
    assert isinstance(error, Retryable)


def test_a_refused_sender_stops_everything_and_fails_no_letter():
    with smtp_server(lambda step, _: "550 who are you" if step == "MAIL" else None) as server:
        results, handed, error = _send(server, _letters(3))
    assert (results, handed) == ([], [])
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


def test_a_hand_off_that_cannot_be_noted_sends_no_body():
    def full_disk(_message_id):
        raise Retryable("the journal cannot be written")

    with smtp_server() as server, SmtpProvider(SmtpServer("127.0.0.1", server.port)) as provider:
        with pytest.raises(Retryable, match="journal"):
            list(provider.send(_letters(2), full_disk))
        assert server.bodies == []
        results = list(provider.send(_letters(1), lambda _: None))
    assert [result.verdict for result in results] == [Verdict.ACCEPTED]


def test_smtp_cannot_tell_what_it_took():
    assert SmtpProvider(SmtpServer("127.0.0.1", 25)).lookup({"m1"}) is None
