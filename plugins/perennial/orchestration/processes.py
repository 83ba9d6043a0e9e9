"""
The processes of the local stack.

Each component is forked from one parent that has already imported Airflow: an import costs seconds, a fork does not.
Each leads a session of its own, so that whatever it starts can be found and stopped, also by a later start after
this one was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil

from perennial.foundation.errors import PerennialError

_PATIENCE = 5.0  # seconds between asking to stop and killing


class StackError(PerennialError):
    """The local stack cannot start, or one of its processes ended by itself."""


class Processes:
    """Forks, watches and stops the components of one local stack. Use it as a context manager."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.logs = home / "logs"
        self._lock: IO[str] | None = None
        self._pids: dict[str, int] = {}

    def __enter__(self) -> Processes:
        """Take the home for this process, and end what a killed one left running."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self._lock = (self.home / "stack.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise StackError(f"Another local Airflow is running on {self.home}. Stop it first.") from error
        for leader, created in self._recorded():
            _end_session(leader, created)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._lock:
            self._lock.close()

    def start(self, name: str, body: Callable[[], object]) -> None:
        """Fork `body` into a session of its own; what it prints goes to `logs/<name>.log`."""
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            self._become(name, body)
        self._pids[name] = pid
        self._record()

    def ended(self, name: str) -> int | None:
        """Return the exit code of a component that has ended, None while it runs."""
        pid, status = os.waitpid(self._pids[name], os.WNOHANG)
        if pid == 0:
            return None
        _end_session(self._pids.pop(name), None)
        return os.waitstatus_to_exitcode(status)

    def check(self) -> None:
        """Raise StackError if a component has ended by itself."""
        for name in list(self._pids):
            if (code := self.ended(name)) is not None:
                raise StackError(f"{name} ended with code {code}:\n{self.tail(name)}\nLog: {self.log(name)}")

    def stop(self) -> None:
        """Ask every component to stop, then kill what is left of its session."""
        for pid in self._pids.values():
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE
        for name, pid in list(self._pids.items()):
            while name in self._pids and self.ended(name) is None and time.monotonic() < deadline:
                time.sleep(0.05)
            if name in self._pids:
                _end_session(pid, None)
                os.waitpid(pid, 0)
                del self._pids[name]
        self._record()

    def memory(self) -> int:
        """Return the bytes of memory of every component and what it started, shared pages counted once (USS)."""
        sessions = set(self._pids.values())
        return sum(process.memory_full_info().uss for process in _session_members(sessions))

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        return "\n".join(self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _become(self, name: str, body: Callable[[], object]) -> None:
        code = 1
        try:
            os.setsid()
            if self._lock:
                self._lock.close()  # the lock belongs to the parent alone
            for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(handled, signal.SIG_DFL)
            sys.stdout = sys.stderr = self.log(name).open("w", encoding="utf-8", buffering=1)
            os.dup2(sys.stdout.fileno(), 1)
            os.dup2(sys.stdout.fileno(), 2)
            with Path(os.devnull).open(encoding="utf-8") as nothing:
                os.dup2(nothing.fileno(), 0)
            body()
            code = 0
        except SystemExit as request:
            code = request.code if isinstance(request.code, int) else 1
        except BaseException:  # noqa: BLE001 - the last line of a process: nothing above could report it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def _recorded(self) -> list[tuple[int, float]]:
        path = self.home / "processes.json"
        try:
            return [(int(pid), float(created)) for pid, created in json.loads(path.read_text(encoding="utf-8"))]
        except (FileNotFoundError, ValueError):  # absent, or cut short by a kill: then there is nothing to go by
            return []

    def _record(self) -> None:
        leaders = [(pid, psutil.Process(pid).create_time()) for pid in self._pids.values() if psutil.pid_exists(pid)]
        part = self.home / "processes.part"
        part.write_text(json.dumps(leaders), encoding="utf-8")
        part.replace(self.home / "processes.json")


def _session_members(sessions: set[int]) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in sessions:
                members.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    return members


def _end_session(leader: int, created: float | None) -> None:
    """
    Kill every process of the session.

    With `created`, only if the number still means the same: a session's number is not given to another process while
    a member lives, so a leader created at another moment is a stranger, and no leader at all leaves only ours.
    """
    if created is not None and psutil.pid_exists(leader):
        try:
            if abs(psutil.Process(leader).create_time() - created) > 1:
                return
        except psutil.NoSuchProcess:
            pass
    while members := [p for p in _session_members({leader}) if p.status() != psutil.STATUS_ZOMBIE]:
        for process in members:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
