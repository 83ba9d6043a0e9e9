"""
SMTP, phase by phase.

`smtplib`'s own `sendmail` raises the same error for a drop before the body and after the final dot. Driven by its
low-level calls, the phase is known: before the final dot a letter is provably not taken, after it nobody knows.
"""

import contextlib
import re
import smtplib
import socket
import ssl
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Self

from perennial.delivery.provider import HandOff, Letter, Result, Verdict
from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.foundation.settings import Settings

_STRIKES = 3  # so many connections lost in a row: stop, before every letter becomes unknown
_CLOSING = 421
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)


@dataclass(frozen=True)
class SmtpServer:
    """Where to send, and how. `timeout` in seconds per answer."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"] = "none"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 30

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

    def __init__(self, server: SmtpServer) -> None:
        self._target = server
        self._server: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def lookup(self, message_ids: Collection[str]) -> set[str] | None:  # noqa: ARG002 - SMTP has no memory
        """SMTP cannot tell what it took."""
        return None

    def send(self, letters: Iterable[Letter], hand_off: HandOff) -> Iterator[Result]:
        """
        Send the letters; see `Provider.send`.

        Raises Retryable when the server cannot be reached or keeps closing the connection, BadConfig when it refuses
        our credentials, Permanent when it refuses our sender.
        """
        strikes = 0
        try:
            for letter in letters:
                result = self._send_one(letter, hand_off)
                yield result
                strikes = strikes + 1 if self._server is None else 0
                if strikes == _STRIKES:
                    raise Retryable(f"{self._target} closed the connection {strikes} times in a row: {result.reply}")
            self._quit()
        finally:
            self._drop()

    def _send_one(self, letter: Letter, hand_off: HandOff) -> Result:
        is_reused = self._server is not None
        try:
            return self._transact(letter, hand_off)
        except _ClosedBeforeBody as closed:
            if not is_reused:
                return Result(letter.message_id, Verdict.RETRY, str(closed))
        # The server had enough of the old connection; that says nothing about this letter.
        try:
            return self._transact(letter, hand_off)
        except _ClosedBeforeBody as closed:
            return Result(letter.message_id, Verdict.RETRY, str(closed))

    def _transact(self, letter: Letter, hand_off: HandOff) -> Result:
        server = self._connected()
        try:
            refused = self._announce(server, letter)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise _ClosedBeforeBody(_plain(str(error), letter)) from error
        if refused:
            return refused
        try:
            hand_off(letter.message_id)
        except BaseException:
            self._drop()  # in the middle of DATA: closing is the only way out
            raise
        return self._hand_over(server, letter)

    def _announce(self, server: smtplib.SMTP, letter: Letter) -> Result | None:
        """MAIL, RCPT, DATA; a result only when the letter is refused."""
        for step, expected in (("MAIL", (250,)), ("RCPT", (250, 251, 252)), ("DATA", (354,))):
            if step == "MAIL":
                code, text = server.mail(letter.sender)
            elif step == "RCPT":
                code, text = server.rcpt(letter.recipient)
            else:
                code, text = server.docmd("DATA")
            if code in expected:
                continue
            reply = _plain(f"{step}: {code} {text.decode('utf-8', 'replace')}", letter)
            if code == _CLOSING or not 400 <= code < 600:
                raise smtplib.SMTPServerDisconnected(reply)
            if step == "MAIL" and code >= 500:
                raise Permanent(
                    f"{self._target} refuses our sender (see PERENNIAL_SENDER, PERENNIAL_SMTP_USER): {reply}"
                )
            self._reset(server)
            return Result(letter.message_id, Verdict.FAILED if code >= 500 else Verdict.RETRY, reply)
        return None

    def _hand_over(self, server: smtplib.SMTP, letter: Letter) -> Result:
        """The body, the dot and the answer to it."""
        try:
            server.send(_LEADING_DOT.sub(b"..", letter.content))
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return Result(letter.message_id, Verdict.RETRY, _plain(f"body: {error}", letter))
        try:
            server.send(b".\r\n")
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
        if self._server is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):  # every letter has its answer already
                self._server.quit()
            self._drop()

    def _drop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


class _ClosedBeforeBody(Exception):
    """The connection ended before the body of a letter began to leave."""


def _plain(reply: str, letter: Letter) -> str:
    return reply.replace(letter.recipient, "<recipient>").replace("\n", " ")[:500]
