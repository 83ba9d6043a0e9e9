"""
An SMTP server that counts, in a process of its own: the id of each message taken is in a file before it is answered.

`python counting_sink.py <file>` prints its port. It pipelines (RFC 2920), takes everything, and is quick.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ID = re.compile(rb"\r\nX-Perennial-Message: (\S{36})\r\n")
_LINE = 37  # bytes of an id and its line end
_LARGEST = 2**21


class Sink:
    """The sink as seen from outside."""

    def __init__(self, port: int, file: Path) -> None:
        self.port = port
        self._file = file

    def taken(self) -> int:
        """Messages taken so far, copies too."""
        return self._file.stat().st_size // _LINE

    def copies(self) -> Counter[str]:
        """How often each message was taken."""
        return Counter(self._file.read_text(encoding="ascii").split())


@contextmanager
def counting_sink(file: Path) -> Iterator[Sink]:
    file.touch()
    with subprocess.Popen([sys.executable, __file__, str(file)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Sink(int(process.stdout.readline()), file)
        finally:
            process.terminate()


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, file: int) -> None:
    writer.write(b"220 sink\r\n")
    try:
        while line := await reader.readline():
            command = line[:4].upper()
            if command == b"EHLO":
                writer.write(b"250-sink\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n")
            elif command == b"DATA":
                writer.write(b"354 go on\r\n")
                body = await reader.readuntil(b"\r\n.\r\n")
                found = _ID.search(body)
                assert found
                os.write(file, found[1] + b"\n")
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # whoever sent it is dead
    writer.close()


async def _serve(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    server = await asyncio.start_server(lambda *ends: _converse(*ends, file), "127.0.0.1", 0, limit=_LARGEST)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
