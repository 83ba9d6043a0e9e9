"""
The hand-off journal: what a worker did with the messages of its lease, in case it dies before it can say so.

One append-only file a lease, locked (flock) by the worker as long as it lives. A mark is written before each body
leaves, a result after each answer. Whoever takes the lease over reads it first:

    a result           → the result
    a mark, no result  → unknown: the message may have been taken
    neither            → provably not sent: it may be queued again

What a process wrote survives its kill, not the loss of the host: marks are synced every 256. So a journal from before
a reboot proves results, but not that something was not sent. Journals are kept: they are the hand-off record by which
a restored ledger is reconciled.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Self

from perennial.delivery.provider import Result, Verdict
from perennial.foundation.errors import Retryable

_SYNC_EVERY = 256
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SUFFIX = ".journal"


class Holder(Enum):
    """Who holds a journal."""

    WORKER = "a living worker"
    NOBODY = "nobody: its worker is dead or done"
    MISSING = "there is no such journal here"


class JournalHeld(Exception):
    """A living worker holds the journal."""


class Unwritable(Retryable):
    """The journal cannot be made or written: nothing may leave."""


class Journal:
    """A worker's own journal: made and locked before its lease is claimed."""

    def __init__(self, folder: Path, lease_id: str) -> None:
        self._path = _path(folder, lease_id)
        self._marks = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except OSError as error:
            raise Unwritable(f"{self._path}: the hand-off journal cannot be made: {error.strerror}.") from error
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write({"boot": _boot_id()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def mark(self, message_id: str, at: datetime) -> None:
        """Note that the body of a message is about to leave. Raises Unwritable."""
        self._write({"handed": message_id, "at": at.isoformat()})
        self._marks += 1
        if self._marks % _SYNC_EVERY == 0:
            os.fdatasync(self._file)

    def record(self, result: Result) -> None:
        """Note what became of a message. Raises Unwritable."""
        self._write({"result": result.message_id, "verdict": result.verdict.value, "reply": result.reply})

    def discard(self) -> None:
        """Remove a journal under which nothing was claimed."""
        self._path.unlink(missing_ok=True)

    def _write(self, entry: dict[str, str | None]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise Unwritable(f"{self._path}: the hand-off journal cannot be written: {error.strerror}.") from error
        if written != len(line):
            raise Unwritable(f"{self._path}: the hand-off journal cannot be written: the disk is full.")


@dataclass
class Replay:
    """What a journal says."""

    results: dict[str, Result] = field(default_factory=dict)
    handed: dict[str, datetime] = field(default_factory=dict)
    is_whole: bool = False  # no mark can be missing: same boot, nothing damaged


def journal_holder(folder: Path, lease_id: str) -> Holder:
    """Who holds the journal of a lease right now."""
    try:
        with taken_over(folder, lease_id) as replay:
            return Holder.MISSING if replay is None else Holder.NOBODY
    except JournalHeld:
        return Holder.WORKER


@contextmanager
def taken_over(folder: Path, lease_id: str) -> Iterator[Replay | None]:
    """
    The journal of a dead worker, held until the caller has acted on it; None where there is none.

    Raises JournalHeld while its worker (or another one that takes it over) lives.
    """
    try:
        file = os.open(_path(folder, lease_id), os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalHeld(lease_id) from error
        yield _replay(_path(folder, lease_id).read_bytes())
    finally:
        os.close(file)


def all_replays(folder: Path) -> Iterator[Replay]:
    """Every journal kept, oldest lease first: the hand-off record."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        yield _replay(path.read_bytes())


def _replay(content: bytes) -> Replay:
    replay = Replay()
    try:
        header, *lines = content.split(b"\n")
        is_whole = json.loads(header).get("boot") == _boot_id() and _boot_id() is not None
        for line in lines[:-1]:  # the last one is empty, or torn before its mark was down
            entry = json.loads(line)
            if "handed" in entry:
                replay.handed[entry["handed"]] = datetime.fromisoformat(entry["at"])
            else:
                verdict = Verdict(entry["verdict"])
                replay.results[entry["result"]] = Result(entry["result"], verdict, entry["reply"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return replay  # damaged: what could be read counts, what could not proves nothing
    replay.is_whole = is_whole
    return replay


def _boot_id() -> str | None:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def _path(folder: Path, lease_id: str) -> Path:
    return folder / f"{lease_id}{_SUFFIX}"
