"""
Fakes of SendGrid's and Mailgun's mail APIs, over real sockets, that misbehave on purpose.

They refuse what the real ones are documented to refuse, and fill values in as greedily as any could: again and again,
until there is nothing left that looks like one of their tags.
"""

import base64
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from http.client import parse_headers
from io import BytesIO
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from werkzeug.formparser import FormDataParser

KEY = "SG.a-key.that-nobody-may-see"
DOMAIN = "mg.shop.example"

RESET_BEFORE = "reset before the body is read"
RESET_DURING = "reset half-way through the body"
RESET_AFTER = "reset after the whole body, which is not taken"
TAKE_AND_RESET = "take it, then reset"
TAKE_AND_BREAK_OFF = "take it, and break off in the middle of the answer"
SILENCE = "never answer"


@dataclass(frozen=True)
class Reply:
    """An answer instead of taking anything; `is_early`: at once, and the body is never read."""

    status: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    is_early: bool = False


Script = Callable[[int], str | Reply | None]  # request number from 1 → what to do; None: do well


@dataclass(frozen=True)
class Taken:
    """One mail as it reaches its recipient."""

    message_id: str  # as the provider's events will name it
    visible_to: tuple[str, ...]
    sender: str
    subject: str
    html: str
    text: str
    headers: dict[str, str]


@dataclass
class ApiServer:
    """What a fake saw and took. `on_request` is called with the recipients of each whole request."""

    script: Script
    is_tls: bool = False
    port: int = 0
    connections: int = 0
    requests: list[list[str]] = field(default_factory=list)  # the recipients of each that came whole
    taken: list[Taken] = field(default_factory=list)
    on_request: Callable[[list[str]], None] = lambda _recipients: None
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: int = 0
    sockets: list[socket.socket] = field(default_factory=list)

    def close_idle(self) -> None:
        """Close every connection, as a server does that waited for long."""
        for each in self.sockets:
            each.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self.is_tls else f"http://127.0.0.1:{self.port}"

    def read(self, path: str, headers: Any, body: bytes) -> tuple[list[str], Reply | list[Taken]]:
        """The recipients of a request, and its mails or why it is refused."""
        raise NotImplementedError

    def accepted(self) -> Reply:
        raise NotImplementedError


class FakeSendGrid(ApiServer):
    def read(self, path, headers, body):
        if headers["Authorization"] != f"Bearer {KEY}":
            return [], _errors(401, (None, f"The provided authorization grant {headers['Authorization']} is invalid"))
        if path != "/v3/mail/send":
            return [], _errors(404, (None, "not found"))
        said = json.loads(body)
        people = said["personalizations"]
        recipients = [person["to"][0]["email"] for person in people]
        if problems := list(_wrong_for_sendgrid(said, recipients, len(body))):
            return recipients, _errors(400, *problems)
        if said.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            return recipients, Reply(200)
        contents = {content["type"]: content["value"] for content in said["content"]}
        mails = []
        for person in people:
            tags = person["substitutions"]
            filled = (
                _greedily(text, tags) for text in (said["subject"], contents["text/html"], contents["text/plain"])
            )
            subject, html, text = filled
            visible = tuple(to["email"] for to in person["to"])
            named = person["custom_args"]["perennial_message"]
            mails.append(Taken(named, visible, said["from"]["email"], subject, html, text, person["headers"]))
        return recipients, mails

    def accepted(self):
        return Reply(202, headers=(("X-Message-Id", "14c5d75ce93.dfd.64b469"),))


def _wrong_for_sendgrid(said, recipients, size):
    allowed = {"from", "subject", "content", "personalizations", "mail_settings"}
    if size > 30_000_000 or set(said) - allowed or not said["subject"]:
        yield None, "Bad Request"
    if len(recipients) > 1000:
        yield "personalizations", "The personalization block is limited to 1000 personalizations per API request."
    if len(set(recipients)) < len(recipients):
        yield (
            "personalizations",
            "Each unique email address in the personalizations array should only be included once.",
        )
    for place, person in enumerate(said["personalizations"]):
        address = person["to"][0]["email"]
        if "refused" in address:
            yield f"personalizations.{place}.to.0.email", f"Does not contain a valid address: {address}"
        tags = person["substitutions"]
        if not all(isinstance(value, str) for value in tags.values()):
            yield f"personalizations.{place}.substitutions", "must be strings"
        if sum(len(name.encode()) + len(value.encode()) for name, value in tags.items()) > 10_000:
            yield f"personalizations.{place}.substitutions", "Substitutions are limited to 10000 bytes."


def _errors(status, *errors):
    return Reply(status, json.dumps({"errors": [{"field": where, "message": what} for where, what in errors]}))


class FakeMailgun(ApiServer):
    def read(self, path, headers, body):
        if headers["Authorization"] != "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode():
            return [], Reply(401, f"Forbidden {headers['Authorization']}")
        if path != f"/v3/{DOMAIN}/messages":
            return [], Reply(404, json.dumps({"message": "Domain not found: mg.other.example"}))
        parser = FormDataParser(max_form_memory_size=None, max_form_parts=None)
        kind, _, options = headers["Content-Type"].partition("; boundary=")
        _, form, _ = parser.parse(BytesIO(body), kind, len(body), {"boundary": options})
        recipients = form.getlist("to")
        if len(recipients) > 1000 or any("refused" in address for address in recipients):
            message = f"to parameter is not a valid address: {recipients[0]}. please check documentation"
            return recipients, Reply(400, json.dumps({"message": message}))
        variables = json.loads(form.get("recipient-variables", "{}"))
        if form.get("o:testmode") == "yes":
            return recipients, []
        if not variables:
            return recipients, [self._mail(form, tuple(recipients), {})]
        return recipients, [self._mail(form, (to,), variables[to] | {None: to}) for to in recipients]

    def _mail(self, form, visible, own):
        tags = {f"%recipient.{name}%": value for name, value in own.items() if name}
        tags |= {"%recipient%": visible[0], "%recipient_email%": visible[0], "%unsubscribe_url%": "http://mailgun/x"}
        filled = {name: _greedily(value, tags) for name, value in form.items() if name != "recipient-variables"}
        headers = {name[2:]: value for name, value in filled.items() if name.startswith("h:")}
        return Taken(
            filled["v:perennial_message"], visible, filled["from"], filled["subject"], filled["html"], filled["text"],
            headers,
        )  # fmt: skip

    def accepted(self):
        return Reply(200, json.dumps({"id": f"<20260201083000.1.A@{DOMAIN}>", "message": "Queued. Thank you."}))


def _greedily(text: str, tags: dict[str, str]) -> str:
    pattern = re.compile("|".join(map(re.escape, sorted(tags, key=len, reverse=True))) or r"(?!)")
    for _ in range(5):
        text, before = pattern.sub(lambda tag: tags[tag[0]], text), text
        if text == before:
            break
    return text


@contextmanager
def api_server(
    kind: type[ApiServer], script: Script = lambda _number: None, tls: ssl.SSLContext | None = None
) -> Iterator[ApiServer]:
    """A fake at work on a port of its own."""
    fake = kind(script, is_tls=tls is not None)
    with _Server(("127.0.0.1", 0), partial(_Conversation, fake)) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        fake.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield fake
        finally:
            fake.stopping.set()
            server.shutdown()
            thread.join(10)


class _Server(ThreadingTCPServer):
    daemon_threads = True

    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # so that a long body is still on its way
        super().server_bind()

    def shutdown_request(self, request):
        self.close_request(request)  # at once, without a word


class _Conversation(StreamRequestHandler):
    """One connection: request after request, until one goes wrong."""

    timeout = 20

    def __init__(self, fake: ApiServer, *args: Any) -> None:
        self.fake = fake
        super().__init__(*args)

    def handle(self) -> None:
        self.fake.connections += 1
        self.fake.sockets.append(self.connection)
        with suppress(OSError, _Over):
            while line := self.rfile.readline():
                self._converse(line.split()[1].decode(), parse_headers(self.rfile))

    def _converse(self, path: str, headers: Any) -> None:
        fake = self.fake
        with fake.lock:
            fake.begun += 1
            fault = fake.script(fake.begun)
        length = int(headers["Content-Length"])
        if isinstance(fault, Reply) and fault.is_early:
            self._say(replace(fault, headers=(*fault.headers, ("Connection", "close"))))
            fake.stopping.wait(20)
            raise _Over
        if fault in (RESET_BEFORE, RESET_DURING):
            self.rfile.read(length // 2 if fault == RESET_DURING else 0)
            self._reset()
        body = self.rfile.read(length)
        if len(body) < length:
            raise _Over  # the client went away
        with fake.lock:
            recipients, outcome = fake.read(path, headers, body)
            fake.requests.append(recipients)
            fake.on_request(recipients)
            if isinstance(outcome, list) and fault in (None, TAKE_AND_RESET, TAKE_AND_BREAK_OFF, SILENCE):
                fake.taken += outcome
        if fault in (RESET_AFTER, TAKE_AND_RESET):
            self._reset()
        if fault == SILENCE:
            fake.stopping.wait(20)
            raise _Over
        if fault == TAKE_AND_BREAK_OFF:
            self._say(fake.accepted(), missing=100)
            self._reset()
        reply = fake.accepted() if isinstance(outcome, list) else outcome
        self._say(fault if isinstance(fault, Reply) else reply)

    def _say(self, reply: Reply, missing: int = 0) -> None:
        body = reply.body.encode()
        lines = [f"HTTP/1.1 {reply.status} x", f"Content-Length: {len(body) + missing}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Over


class _Over(Exception):
    """This connection is."""
