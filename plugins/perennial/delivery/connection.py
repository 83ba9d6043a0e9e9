"""
One HTTP connection, used again and again, with the phases of a request kept apart.

An API has no idempotency key: whether a request was taken is known from where it broke off only. Until its last byte
has left, a request is provably not taken, because it is not whole; from then on until the answer nobody knows.
`requests` and `urllib` raise the same errors for both.
"""

import http.client
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urlsplit

from perennial.foundation.errors import BadConfig, Retryable

_HERE = ("localhost", "127.0.0.1", "::1")
_READ = 65_536  # bytes of an answer that are of interest


class NotTaken(Exception):
    """The request did not leave whole."""


class NoAnswer(Exception):
    """The request left whole and no answer came: it may have been taken."""


@dataclass(frozen=True)
class Answer:
    """What a server said, with the beginning of its body."""

    status: int
    headers: Message
    body: bytes


class Connection:
    """Opened on first use, and again when the server has closed it. Errors name the `setting` that `url` is of."""

    def __init__(self, url: str, setting: str, timeout: float) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host = ""
        if not host or parts.scheme not in ("http", "https"):
            raise BadConfig(f"{setting} is no URL such as https://api.example.com.")
        self.name = parts.netloc.rpartition("@")[2]
        if parts.scheme == "http" and host not in _HERE:
            raise BadConfig(f"{setting}: {self.name} would be sent the key for everybody on the way to see: use https.")
        self._setting = setting
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._http: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=timeout, context=context
            )
        else:
            self._http = http.client.HTTPConnection(host, port, timeout=timeout)
        self._http.auto_open = 0  # never in the middle of a request

    def close(self) -> None:
        """Close it; the next request opens it again."""
        self._http.close()

    def post(self, path: str, headers: Mapping[str, str], body: bytes, before_it_leaves: Callable[[], None]) -> Answer:
        """
        Send one request and return the answer; `before_it_leaves` is called once a server is there.

        Raises NotTaken or NoAnswer, Retryable when the server cannot be reached, BadConfig when it is not who it says.
        """
        self._open()
        try:
            before_it_leaves()
            try:
                self._send(path, headers, body)
            except OSError as error:
                return self._early_answer(error)
            return self._answer()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if self._http.sock is not None and _is_dropped(self._http.sock):
            self.close()
        if self._http.sock is not None:
            return
        try:
            self._http.connect()  # without Nagle's algorithm: the last byte must not wait
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise BadConfig(
                f"{self.name} shows no valid certificate ({error.verify_message}): {self._setting}."
            ) from error
        except OSError as error:
            self.close()
            raise Retryable(
                f"{self.name} cannot be reached: {error}. Mail waits and is tried again; see {self._setting}."
            ) from error

    def _send(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send all of it. When this raises, the last byte has not left."""
        self._http.putrequest("POST", path, skip_accept_encoding=True)
        for name, value in headers.items():
            self._http.putheader(name, value)
        self._http.putheader("Content-Length", str(len(body)))
        self._http.endheaders()
        self._http.send(body[:-1])
        self._http.send(body[-1:])

    def _early_answer(self, error: OSError) -> Answer:
        """What the server refused the request with before it was whole. Raises NotTaken where it said nothing."""
        try:
            answer = self._answer()
        except NoAnswer:
            raise NotTaken(str(error)) from error
        self.close()
        if not 400 <= answer.status < 500:
            raise NotTaken(f"{answer.status} before the request was whole") from error
        return answer

    def _answer(self) -> Answer:
        try:
            response = self._http.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        try:
            body = response.read(_READ)
        except (OSError, http.client.HTTPException):
            body = b""  # the status says what became of it
        if not response.isclosed():
            self.close()
        return Answer(response.status, response.headers, body)


def _is_dropped(idle: socket.socket) -> bool:
    """Whether the server has closed an idle connection: of a living one nothing is to be read."""
    poll = select.poll()
    poll.register(idle, select.POLLIN)
    return bool(poll.poll(0))
