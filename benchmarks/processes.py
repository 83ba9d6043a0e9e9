"""Programs run and watched from outside: seconds, what they said, and the peak memory of all their processes."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from perennial.foundation.settings import REPOSITORY

STEPS = Path(__file__).with_name("steps.py")
_EVERY = 0.5  # seconds between two looks at memory


class Broken(Exception):
    """A program that was measured failed; says what it printed last."""


def step(name: str, server: "Server | None" = None, **arguments: object) -> dict[str, Any]:
    """Run a step of steps.py in a process of its own; its figures, and with a `server` the peak of its memory."""
    command = [sys.executable, str(STEPS), name, json.dumps(arguments, default=str)]
    environment = _environment() | ({"PERENNIAL_WAREHOUSE": server.url} if server else {})
    with _Peak(server.memory if server else None) as peak:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise Broken(f"{name} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures | ({"server_mb": peak.bytes / 2**20} if server else {})


def local_stack(home: Path) -> dict[str, Any]:
    """`make run` in `home`: seconds in all and of the chain alone, its tasks, the peak memory of all processes."""
    environment = _environment() | {"PERENNIAL_HOME": str(home)}
    command = [sys.executable, "-m", "perennial.orchestration.local", "run"]
    started = time.monotonic()
    marks: dict[str, float] = {}
    tasks = 0
    said: list[str] = []
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as run,
        _Peak(lambda: memory_of(run.pid)) as peak,
    ):
        for line in run.stdout or ():
            said.append(line)
            for mark in ("Running the day chain", "Delivering"):
                if mark in line:
                    marks.setdefault(mark, time.monotonic())
            tasks += " done in " in line and "deliver_messages" not in line
    if run.returncode:
        raise Broken(f"make run failed:\n{''.join(said[-40:])}")
    return {
        "seconds": time.monotonic() - started,
        "chain_seconds": marks["Delivering"] - marks["Running the day chain"],
        "tasks": tasks,
        "peak_mb": peak.bytes / 2**20,
    }


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server, by the URL of the warehouse in it and the process that started all others."""

    url: str
    pid: int
    database: Callable[[], str]  # the URL of one more, empty database

    def memory(self) -> int:
        return memory_of(self.pid)


@contextmanager
def postgres() -> Iterator[Server]:
    """A server set up as docker-compose.yaml does it, with an empty warehouse in it, while the block runs."""
    import psycopg
    import yaml

    sys.path.append(str(REPOSITORY / "tests"))
    from postgres import running_server

    compose = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text(encoding="utf-8"))
    options = compose["services"]["postgres"]["command"][2::2]  # postgres -c name=value -c …
    with running_server(dict(option.split("=") for option in options)) as server:
        url = server.database()
        with psycopg.connect(url) as connection:
            pid = psutil.Process(connection.info.backend_pid).ppid()  # while its backend is there
        yield Server(url, pid, server.database)


@dataclass(frozen=True)
class MailSink:
    """Postfix's smtp-sink, which takes every mail and forgets it, and smtp-source, which sends one mail many times."""

    port: int
    source: str

    def beside_source(self, sample: Path, name: str, *, messages: int, **arguments: object) -> dict[str, Any]:
        """Run a step, and smtp-source before and after it; `against_source` is the step's share of its speed."""
        before = self._source(sample, min(messages, 10_000))
        figures = step(name, messages=messages, **arguments)
        both = (before + self._source(sample, min(messages, 10_000))) / 2
        return figures | {"source_rate": both, "against_source": messages / figures["seconds"] / both}

    def _source(self, sample: Path, messages: int) -> float:
        """Mails a second over one connection, as ours has."""
        options = [
            "-d",
            "-s",
            "1",
            "-m",
            str(messages),
            "-F",
            str(sample),
            "-f",
            "a@shop.example",
            "-t",
            "b@mail.example",
        ]
        started = time.monotonic()
        subprocess.run([self.source, *options, f"127.0.0.1:{self.port}"], check=True)
        return messages / (time.monotonic() - started)


@contextmanager
def mail_sink(sink: str, source: str) -> Iterator[MailSink]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    with subprocess.Popen([sink, *user, f"127.0.0.1:{port}", "100"]) as process:
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.05)
            yield MailSink(port, source)
        finally:
            process.terminate()


def memory_of(pid: int) -> int:
    """Bytes of a process and all that it started; a page that several share counts once (PSS)."""
    total = 0
    try:
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            try:
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
    except psutil.NoSuchProcess:
        return total
    return total


def _environment() -> dict[str, str]:
    """Ours, without settings of an installation, and with the packages of this repository."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PERENNIAL"))}
    kept = {name: os.environ[name] for name in ("PERENNIAL_MEMORY_LIMIT",) if name in os.environ}
    return clean | kept | {"PYTHONPATH": str(REPOSITORY / "plugins")}


class _Peak:
    """The largest of the figures that `look` gives while the block runs."""

    def __init__(self, look: Callable[[], int] | None) -> None:
        self.look = look
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Peak":
        if self.look:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self.look:
            self._thread.join()

    def _watch(self) -> None:
        while self.look and not self._over.wait(_EVERY):
            self.bytes = max(self.bytes, self.look())
