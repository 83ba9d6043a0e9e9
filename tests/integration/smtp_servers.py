"""SMTP servers that misbehave on purpose, over real sockets."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

DROP = "drop"  # close the connection
SILENCE = "silence"  # never answer
Script = Callable[[str, int], str | None]  # (step, its number from 1) → a reply, DROP, SILENCE, or None: do well
STEPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "DOT", "RSET", "QUIT")
_GOOD = {"CONNECT": "220 test", "EHLO": "250 test", "DATA": "354 go on", "QUIT": "221 bye"}


@dataclass
class Server:
    """What a misbehaving server saw. `bodies`: what came before each final dot; `taken`: those it said 250 to."""

    port: int
    script: Script
    connections: int = 0
    bodies: list[bytes] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STEPS, 0))

    def answer(self, step: str) -> str:
        self.steps[step] += 1
        return self.script(step, self.steps[step]) or _GOOD.get(step, "250 ok")


@contextmanager
def smtp_server(script: Script = lambda _step, _number: None) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening.getsockname()[1], script)
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
    with connection, suppress(OSError):
        connection.settimeout(10)
        _answer_all(connection, server, stopping)


def _answer_all(connection: socket.socket, server: Server, stopping: threading.Event) -> None:

    def reply(step: str) -> bool:
        answer = server.answer(step)
        if answer == SILENCE:
            stopping.wait(10)
            return False
        if answer == DROP:
            return False
        connection.sendall(answer.encode() + b"\r\n")
        return not answer.startswith("421")

    if not reply("CONNECT"):
        return
    with connection.makefile("rb") as lines:
        for line in lines:
            step = line[:4].decode().strip().upper()
            if not reply(step):
                return
            if step == "DATA" and server.script("DATA", server.steps["DATA"]) is None:
                if not _take_body(lines, server, reply):
                    return
            elif step == "QUIT":
                return


def _take_body(lines: Iterator[bytes], server: Server, reply: Callable[[str], bool]) -> bool:
    server.steps["BODY"] += 1
    if server.script("BODY", server.steps["BODY"]) == DROP:
        next(lines)
        return False
    body = bytearray()
    for line in lines:
        if line == b".\r\n":
            break
        body += line[1:] if line.startswith(b".") else line
    else:
        return False  # the client went away before the dot
    server.bodies.append(bytes(body))
    if server.script("DOT", server.steps["DOT"] + 1) is None:
        server.taken.append(bytes(body))
    return reply("DOT")
