import smtplib
import socket
import time
from email import message_from_bytes
from uuid import uuid4

import pytest

from outbox import settings_in
from perennial.delivery import mailbox as room
from perennial.delivery.mailbox import MailboxProvider, MailboxServer
from perennial.delivery.provider import Verdict
from perennial.delivery.smtp import SmtpLetter


def _letter(message_id):
    content = f"X-Perennial-Message: {message_id}\r\nSubject: hello\r\n\r\nbody\r\n".encode()
    return SmtpLetter(message_id, "hello@shop.example", "ada@mail.example", content)


def test_every_mail_received_is_a_file_of_its_own_even_a_copy(tmp_path):
    settings = settings_in(tmp_path)
    one, two = str(uuid4()), str(uuid4())
    with MailboxProvider(settings) as provider:
        assert provider.lookup({one, two}) == set()
        results = list(provider.send([_letter(one), _letter(two), _letter(one)], lambda _: None))
        assert [result.verdict for result in results] == [Verdict.ACCEPTED] * 3
        assert provider.lookup({one, two, str(uuid4())}) == {one, two}
    names = sorted(path.name for path in settings.mailbox_dir.iterdir())
    assert names == sorted(f"20260201T083000.000000Z_{stem}.eml" for stem in (one, f"{one}_2", two))
    content = (settings.mailbox_dir / f"20260201T083000.000000Z_{two}.eml").read_bytes()
    assert content == _letter(two).content


def test_what_a_gateway_put_below_the_folder_is_still_held(tmp_path):
    settings = settings_in(tmp_path)
    message_id = str(uuid4())
    with MailboxProvider(settings) as provider:
        list(provider.send([_letter(message_id)], lambda _: None))
        (path,) = settings.mailbox_dir.iterdir()
        (settings.mailbox_dir / "sent").mkdir()
        path.rename(settings.mailbox_dir / "sent" / path.name)
        assert provider.lookup({message_id}) == {message_id}


def test_a_mailbox_that_cannot_be_written_takes_nothing_and_says_so(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "write_mail", full)
    with MailboxProvider(settings_in(tmp_path)) as provider:
        (result,) = provider.send([_letter(str(uuid4()))], lambda _: None)
    assert (result.verdict, result.reply) == (
        Verdict.RETRY,
        "452 The mailbox cannot be written: No space left on device",
    )


@pytest.mark.parametrize("is_written", [True, False])
def test_an_answer_that_came_too_late_is_looked_up(tmp_path, monkeypatch, is_written):
    settings = settings_in(tmp_path, smtp_timeout=0.3)
    one, two = str(uuid4()), str(uuid4())
    write = room.write_mail

    def slow(folder, content, now):
        if one.encode() in content:
            time.sleep(1)
            if not is_written:
                raise OSError(5, "Input/output error")
        return write(folder, content, now)

    monkeypatch.setattr(room, "write_mail", slow)
    with MailboxProvider(settings) as provider:
        results = list(provider.send([_letter(one), _letter(two)], lambda _: None))
    assert [result.verdict.value for result in results] == ["accepted" if is_written else "retry", "accepted"]
    assert room.held_messages(settings.mailbox_dir) == ({one, two} if is_written else {two})


def test_a_message_header_cannot_name_a_path(tmp_path):
    settings = settings_in(tmp_path)
    server = MailboxServer(settings.mailbox_dir, settings)
    server.start()
    try:
        with smtplib.SMTP("127.0.0.1", server.port) as client:
            client.sendmail("a@b.example", ["c@d.example"], b"X-Perennial-Message: ../../escaped\r\n\r\nbody\r\n")
    finally:
        server.stop()
    (path,) = tmp_path.rglob("*.eml")
    assert path.parent == settings.mailbox_dir
    assert message_from_bytes(path.read_bytes())["X-Perennial-Message"] == "../../escaped"


def test_the_server_is_on_loopback_and_gone_afterwards(tmp_path):
    settings = settings_in(tmp_path)
    server = MailboxServer(settings.mailbox_dir, settings)
    server.start()
    server.stop()
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", server.port)) != 0
