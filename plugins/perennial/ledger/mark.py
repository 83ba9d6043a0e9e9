"""
The high-water mark: a small file outside the ledger that notices an old ledger put back.

Every commit of the ledger raises its revision; the mark follows. A ledger behind its mark has forgotten something it
did. A crash may leave the mark a commit short, which is harmless: nothing is sent before the mark of its claim is down.

It lies in the home, outside the ledger's folder, so that putting a backup back does not put an old mark back. Hosts
that share a ledger on a server share the home too (frozen files and journals need that), so there is one mark, and any
host notices an old ledger. A host with a home of its own has a mark of its own: it knows what it committed or saw
last, and would not notice the loss of what only others did. A new host has no mark: whoever restores a ledger there
says so (`perennial ledger reconcile --restored`).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from perennial.foundation.errors import Permanent, Retryable

_WIDTH = 80  # one write of fixed width: neither torn nor in need of new space on a full disk


@dataclass(frozen=True)
class Mark:
    """How far the ledger of that id is known to have come."""

    ledger_id: str
    revision: int


def read_mark(path: Path) -> Mark | None:
    """The mark, or None where there is none yet. Raises Permanent when the file is not a mark."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return _parse(content, path)


def raise_mark(path: Path, mark: Mark) -> None:
    """
    Note durably that the ledger has come so far; never lowers the mark of the same ledger.

    Raises Retryable when it cannot be written; what was committed stays, and doing it again is harmless.
    """
    try:
        with _locked(path) as file:
            old = _parse(os.pread(file, _WIDTH, 0), path)
            if old and old.ledger_id == mark.ledger_id and old.revision >= mark.revision:
                return
            os.pwrite(file, f"{mark.ledger_id} {mark.revision}".ljust(_WIDTH - 1).encode() + b"\n", 0)
            os.fdatasync(file)
    except OSError as error:
        raise Retryable(f"{path}: the ledger mark cannot be written: {error.strerror}.") from error


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _parse(content: bytes, path: Path) -> Mark | None:
    if not content.strip():
        return None  # created, never written
    try:
        ledger_id, revision = content.decode("ascii").split()
        return Mark(ledger_id, int(revision))
    except ValueError as error:
        raise Permanent(
            f"{path}: not a ledger mark. If the ledger is the newest one, run `perennial ledger reconcile "
            "--by <your name>`, which writes the mark anew."
        ) from error
