"""
SMTP, phase by phase.

`smtplib`'s own `sendmail` raises the same error for a drop before the body and after the final dot. Driven by its
low-level calls, the phase is known: before the final dot a letter is provably not taken, after it nobody knows.

Where the server offers it, commands are pipelined (RFC 2920): the body of a letter and MAIL, RCPT, DATA of the next
leave together, so a letter costs one round trip.
"""

import contextlib
import smtplib
import socket
import ssl
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, Self, cast

from perennial.delivery.mime import clean_address, compose, split_mailbox
from perennial.delivery.provider import HandOff, Mail, Result, Verdict, without_addresses
from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.foundation.settings import Settings

_STRIKES = 3  # so many connections lost in a row: stop, before every letter becomes unknown
_CLOSING = 421
_EXPECTED = {"MAIL": (250,), "RCPT": (250, 251, 252), "DATA": (354,)}
_TLS_RECORD = 16_384  # bytes that may have left although their write failed


@dataclass(frozen=True)
class SmtpLetter:
    """One composed e-mail. `content` is ASCII as it goes over the wire: lines end in CRLF, none begins with a dot."""

    message_id: str
    sender: str  # envelope addresses
    recipient: str
    content: bytes


def prepare(mail: Mail) -> SmtpLetter:
    """The mail as bytes, with its envelope. Raises Unsendable; see `compose`."""
    sender = split_mailbox(mail.sender)[1]
    return SmtpLetter(mail.message_id, sender, clean_address(mail.recipient), compose(mail))


@dataclass(frozen=True)
class SmtpServer:
    """Where to send, and how. `timeout` in seconds per answer; `pipelining` where the server offers it."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"] = "none"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 30
    pipelining: bool = True

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The server that the `smtp_*` settings name."""
        password = settings.smtp_password
        return cls(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_security,
            settings.smtp_user,
            password.get_secret_value() if password else None,
            settings.smtp_timeout,
        )

    def __str__(self) -> str:
        return f"SMTP server {self.host}:{self.port}"


class SmtpProvider:
    """One connection, reused for all letters and opened again when the server closes it."""

    name = "smtp"
    at_once = 500

    def __init__(self, server: SmtpServer) -> None:
        self._target = server
        self._server: smtplib.SMTP | None = None
        self._announced: SmtpLetter | None = None  # its MAIL, RCPT and DATA are out, their answers not yet read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._quit()

    def lookup(self, message_ids: Collection[str]) -> set[str] | None:  # noqa: ARG002 - SMTP has no memory
        """SMTP cannot tell what it took."""
        return None

    def prepare(self, mail: Mail) -> SmtpLetter:
        """See `prepare`."""
        return prepare(mail)

    def send(self, letters: Iterable[SmtpLetter], hand_off: HandOff) -> Iterator[Result]:
        """
        Send the letters; see `Provider.send`. The connection stays open for more.

        Raises Retryable when the server cannot be reached or keeps closing the connection, BadConfig when it refuses
        our credentials, Permanent when it refuses our sender.
        """
        waiting = _Letters(letters)
        strikes = 0
        is_done = False
        try:
            while letter := waiting.take():
                result = self._send_one(letter, waiting, hand_off)
                yield result
                strikes = strikes + 1 if self._server is None else 0
                if strikes == _STRIKES:
                    raise Retryable(f"{self._target} closed the connection {strikes} times in a row: {result.reply}")
            is_done = True
        finally:
            if not is_done:
                self._drop()

    def _send_one(self, letter: SmtpLetter, waiting: "_Letters", hand_off: HandOff) -> Result:
        is_reused = self._server is not None
        try:
            refused = self._announce(letter)
        except _ClosedBeforeBody as closed:
            if not is_reused:
                return Result(letter.message_id, Verdict.RETRY, str(closed))
            # The server had enough of the old connection; that says nothing about this letter.
            try:
                refused = self._announce(letter)
            except _ClosedBeforeBody as closed_again:
                return Result(letter.message_id, Verdict.RETRY, str(closed_again))
        if refused:
            return refused
        server = self._connected()
        following = waiting.ahead(1) if self._pipelines(server) else None
        hand_off(letter.message_id)
        self._announced = following
        if stopped := self._hand_over(server, letter, following):
            return stopped
        if following:
            waiting.ahead(2)  # made while the server is busy
        return self._answer(server, letter)

    def _pipelines(self, server: smtplib.SMTP) -> bool:
        return self._target.pipelining and server.has_extn("pipelining")

    def _announce(self, letter: SmtpLetter) -> Result | None:
        """MAIL, RCPT, DATA; a result only when the letter is refused."""
        server = self._connected()
        try:
            return self._read_refusal(server, letter)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise _ClosedBeforeBody(_plain(str(error), letter)) from error

    def _read_refusal(self, server: smtplib.SMTP, letter: SmtpLetter) -> Result | None:
        is_pipelined = self._pipelines(server)
        if is_pipelined and self._announced is not letter:
            server.send(b"".join(_commands(letter)))
        self._announced = None
        refused = None
        code = 0
        for step, command in zip(_EXPECTED, _commands(letter), strict=True):
            if not is_pipelined:
                server.send(command)
            code, text = server.getreply()
            if refused is None and code not in _EXPECTED[step]:
                refused = self._refusal(letter, step, code, text)
            if refused and not is_pipelined:
                break
        if refused:
            if code in _EXPECTED["DATA"]:  # it waits for a body that nobody is to get
                server.send(b".\r\n")
                server.getreply()
            self._reset(server)
        return refused

    def _refusal(self, letter: SmtpLetter, step: str, code: int, text: bytes) -> Result:
        reply = _plain(f"{step}: {code} {text.decode('utf-8', 'replace')}", letter)
        if code == _CLOSING or not 400 <= code < 600:
            raise smtplib.SMTPServerDisconnected(reply)
        if step == "MAIL" and code >= 500:
            raise Permanent(f"{self._target} refuses our sender (see PERENNIAL_SENDER, PERENNIAL_SMTP_USER): {reply}")
        return Result(letter.message_id, Verdict.FAILED if code >= 500 else Verdict.RETRY, reply)

    def _hand_over(self, server: smtplib.SMTP, letter: SmtpLetter, following: SmtpLetter | None) -> Result | None:
        """The body, the dot, and what announces the following letter; a result only when that breaks off."""
        whole = memoryview(b"".join((letter.content, b".\r\n", *(_commands(following) if following else ()))))
        left, past_dot = 0, len(letter.content) + len(b".\r\n")
        connection = cast("socket.socket", server.sock)
        try:
            while left < len(whole):
                left += connection.send(whole[left:])
        except OSError as error:
            if isinstance(connection, ssl.SSLSocket):
                left += _TLS_RECORD
            self._drop()
            verdict = Verdict.RETRY if left < past_dot else Verdict.UNKNOWN
            return Result(letter.message_id, verdict, _plain(f"body: {error}", letter))
        return None

    def _answer(self, server: smtplib.SMTP, letter: SmtpLetter) -> Result:
        """The answer to the dot."""
        try:
            code, text = server.getreply()
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return Result(letter.message_id, Verdict.UNKNOWN, _plain(f"after the dot: {error}", letter))
        verdict = {2: Verdict.ACCEPTED, 4: Verdict.RETRY, 5: Verdict.FAILED}.get(code // 100, Verdict.UNKNOWN)
        if code == _CLOSING or verdict is Verdict.UNKNOWN:
            self._drop()
        return Result(letter.message_id, verdict, _plain(f"{code} {text.decode('utf-8', 'replace')}", letter))

    def _connected(self) -> smtplib.SMTP:
        if self._server is None:
            try:
                self._server = self._connect()
            except smtplib.SMTPAuthenticationError as error:
                if error.smtp_code < 500:
                    raise Retryable(f"{self._target} cannot check our password now ({error.smtp_code}).") from error
                raise BadConfig(
                    f"{self._target} refuses PERENNIAL_SMTP_USER with PERENNIAL_SMTP_PASSWORD ({error.smtp_code})."
                ) from error
            except (smtplib.SMTPNotSupportedError, ssl.SSLCertVerificationError) as error:
                raise BadConfig(f"{self._target}: {error} See PERENNIAL_SMTP_SECURITY.") from error
            except (smtplib.SMTPException, OSError) as error:
                raise Retryable(
                    f"{self._target} cannot be reached: {error}. Mail waits and is tried again; "
                    "see PERENNIAL_SMTP_HOST and PERENNIAL_SMTP_PORT."
                ) from error
        return self._server

    def _connect(self) -> smtplib.SMTP:
        target = self._target
        context = ssl.create_default_context() if target.security != "none" else None
        if target.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(target.host, target.port, timeout=target.timeout, context=context)
        else:
            server = smtplib.SMTP(target.host, target.port, timeout=target.timeout)
        try:
            if server.sock is not None:  # the dot must not wait for the ack of the body
                server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.ehlo_or_helo_if_needed()
            if target.security == "starttls":
                server.starttls(context=context)
                server.ehlo_or_helo_if_needed()
            if target.user is not None:
                server.login(target.user, target.password or "")
        except BaseException:
            server.close()
            raise
        return server

    def _reset(self, server: smtplib.SMTP) -> None:
        try:
            code, _ = server.rset()
        except (smtplib.SMTPException, OSError):
            code = -1
        if code != 250:
            self._drop()

    def _quit(self) -> None:
        if self._server is not None and self._announced is None:
            with contextlib.suppress(smtplib.SMTPException, OSError):  # every letter has its answer already
                self._server.quit()
        self._drop()

    def _drop(self) -> None:
        self._announced = None
        if self._server is not None:
            self._server.close()
            self._server = None


class _Letters:
    """Letters in their order, some made before their turn."""

    def __init__(self, letters: Iterable[SmtpLetter]) -> None:
        self._rest = iter(letters)
        self._made: deque[SmtpLetter] = deque()

    def ahead(self, count: int) -> SmtpLetter | None:
        """The next letter, still to be taken, with `count` of them made; None at the end."""
        self._made.extend(islice(self._rest, max(0, count - len(self._made))))
        return self._made[0] if self._made else None

    def take(self) -> SmtpLetter | None:
        return self._made.popleft() if self.ahead(1) else None


class _ClosedBeforeBody(Exception):
    """The connection ended before the body of a letter began to leave."""


def _commands(letter: SmtpLetter) -> tuple[bytes, bytes, bytes]:
    return f"MAIL FROM:<{letter.sender}>\r\n".encode(), f"RCPT TO:<{letter.recipient}>\r\n".encode(), b"DATA\r\n"


def _plain(reply: str, letter: SmtpLetter) -> str:
    return without_addresses(reply.replace(letter.recipient, "<recipient>"))
