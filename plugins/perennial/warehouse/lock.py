"""One writer at a time for a warehouse that is a file."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from perennial.foundation.errors import Retryable


@contextmanager
def writer_lock(path: Path, timeout: float) -> Iterator[None]:
    """
    Hold the lock file `path` (released by the kernel when the process dies, so it is never stale).

    Raises Retryable naming the process that holds it after `timeout` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_suffix(path.suffix + ".holder")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=timeout, poll_interval=0.05)
    except Timeout as error:
        raise Retryable(
            f"{path.with_suffix('')} is being written by another process ({_describe(holder)}); "
            f"waited {timeout:g} s. Let it finish, or raise PERENNIAL_LOCK_TIMEOUT."
        ) from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid()}))
        yield
    finally:
        lock.release()


def _describe(holder: Path) -> str:
    try:
        return f"pid {json.loads(holder.read_text())['pid']}"
    except (OSError, ValueError, KeyError):
        return "pid unknown"
