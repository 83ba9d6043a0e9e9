"""A file that lies at a source's place: what the landing needs of it, wherever that place is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self


@dataclass(frozen=True)
class Stamp:
    """By what a change of a file is seen without reading it: its size, and when or as what it was written."""

    bytes: int
    mtime_ns: int = 0
    etag: str | None = None

    @property
    def is_telling(self) -> bool:
        """Whether equal stamps mean equal files; a place that tells neither time nor tag has its files read."""
        return bool(self.mtime_ns or self.etag)


@dataclass(frozen=True)
class Arrival:
    """
    One file. `file` is its name within the place, by which its versions are told and files put in order.

    `stamp` asks the place anew each time. Both raise FileNotFoundError when it is gone, OSError when the place fails.
    """

    file: str
    stamp: Callable[[], Stamp]
    open: Callable[[], BinaryIO]

    @classmethod
    def of(cls, path: Path, file: str) -> Self:
        """A file of this machine."""
        return cls(file, partial(_stamp, path), partial(_open, path))


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return Stamp(found.st_size, found.st_mtime_ns)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
