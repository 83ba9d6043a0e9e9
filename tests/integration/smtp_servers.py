"""SMTP servers that misbehave on purpose, over real sockets."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

DROP = "drop"  # close the connection
SILENCE = "silence"  # never answer
Script = Callable[[str, int], str | None]  # (step, its number from 1) → a reply, DROP, SILENCE, or None: do well
STEPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "DOT", "RSET", "QUIT")
_GOOD = {"CONNECT": "220 test", "EHLO": "250 test", "DATA": "354 go on", "QUIT": "221 bye"}


@dataclass
class Server:
    """
    What a misbehaving server saw.

    `bodies`: what came before each final dot; `taken`: those it said 250 to; `ahead`: before how many answers to a dot
    the next command had come already.
    """

    port: int
    script: Script
    is_pipelining: bool = False
    tls: ssl.SSLContext | None = None
    security: str = "none"
    connections: int = 0
    ahead: int = 0
    bodies: list[bytes] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STEPS, 0))

    def answer(self, step: str) -> str:
        self.steps[step] += 1
        answer = self.script(step, self.steps[step])
        if answer is None and step == "EHLO":
            offers = ["PIPELINING"] * self.is_pipelining + ["STARTTLS"] * (self.security == "starttls")
            return "\r\n".join(["250-test", *(f"250-{offer}" for offer in offers), "250 HELP"])
        return answer or _GOOD.get(step, "250 ok")


@contextmanager
def smtp_server(script: Script = lambda _step, _number: None, **options: Any) -> Iterator[Server]:
    """A server; `options` are fields of `Server`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening.getsockname()[1], script, **options)
        stopping = threading.Event()
        thread = threading.Thread(target=_serve, args=(listening, server, stopping))
        thread.start()
        try:
            yield server
        finally:
            stopping.set()
            with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
                pass  # wakes the server up
            thread.join(10)


def _serve(listening: socket.socket, server: Server, stopping: threading.Event) -> None:
    threads = []
    while True:
        connection, _ = listening.accept()
        if stopping.is_set():
            connection.close()
            break
        server.connections += 1
        threads.append(threading.Thread(target=_converse, args=(connection, server, stopping)))
        threads[-1].start()
    for thread in threads:
        thread.join(10)


def _converse(connection: socket.socket, server: Server, stopping: threading.Event) -> None:
    connection.settimeout(10)
    conversation = _Conversation(connection, server, stopping)
    with suppress(OSError):
        conversation.run()
    conversation.close()


class _Conversation:
    def __init__(self, connection: socket.socket, server: Server, stopping: threading.Event) -> None:
        self._connection = connection
        self._server = server
        self._stopping = stopping
        self._waiting = b""

    def _line(self) -> bytes:
        """The next line; b"" when the client has gone."""
        while b"\n" not in self._waiting:
            more = self._connection.recv(65536)
            if not more:
                return b""
            self._waiting += more
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line + b"\n"

    def _reply(self, step: str) -> bool:
        return self._say(self._server.answer(step))

    def _say(self, answer: str) -> bool:
        if answer == SILENCE:
            self._stopping.wait(10)
            return False
        if answer == DROP:
            return False
        self._connection.sendall(answer.encode() + b"\r\n")
        return not answer.startswith("421")

    def _begin_tls(self) -> None:
        assert self._server.tls
        self._connection = self._server.tls.wrap_socket(self._connection, server_side=True)

    def close(self) -> None:
        self._connection.close()

    def run(self) -> None:
        server = self._server
        if server.security == "tls":
            self._begin_tls()
        if not self._reply("CONNECT"):
            return
        accepted: set[str] = set()  # of MAIL and RCPT, in this transaction
        while line := self._line():
            step = line[:4].decode().strip().upper()
            if step == "STAR" and server.tls:
                self._say("220 go on")
                self._begin_tls()
                continue
            answer = server.answer(step)
            if step in ("MAIL", "RSET"):
                accepted.clear()
            before = {"RCPT": "MAIL", "DATA": "RCPT"}.get(step)
            if before and before not in accepted and answer == _GOOD.get(step, "250 ok"):
                answer = f"503 {before} first"
            if answer.startswith("2"):
                accepted.add(step)
            if not self._say(answer) or step == "QUIT":
                return
            if answer.startswith("354") and not self._take_body():
                return

    def _take_body(self) -> bool:
        server = self._server
        server.steps["BODY"] += 1
        if server.script("BODY", server.steps["BODY"]) == DROP:
            self._line()
            return False
        body = bytearray()
        while (line := self._line()) != b".\r\n":
            if not line:
                return False  # the client went away before the dot
            body += line[1:] if line.startswith(b".") else line
        server.bodies.append(bytes(body))
        if server.script("DOT", server.steps["DOT"] + 1) is None:
            server.taken.append(bytes(body))
        server.ahead += b"MAIL" in self._waiting
        return self._reply("DOT")
