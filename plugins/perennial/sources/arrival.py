"""A file that lies at a source's place, wherever that is, and what the landing keeps of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
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
    def of(cls, path: Path, file: str, etag: str | None = None) -> Self:
        """A file of this machine."""
        return cls(file, partial(_stamp, path, etag), partial(_open, path))


@dataclass(frozen=True)
class Landed:
    """
    One version of one file. `file` is its name at its place, `path` the copy's below the landing folder.

    `personal_rows` is None for a copy as it came; of a pseudonymised one, how many rows still hold personal data. One
    that `is_whole` lost nothing but the people who were erased.
    """

    file: str
    version: int
    sha256: str
    bytes: int
    mtime_ns: int
    landed_at: datetime
    path: str
    duplicate_of: str | None = None
    etag: str | None = None
    personal_rows: int | None = None
    is_whole: bool = False

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.bytes, self.mtime_ns, self.etag)


def _stamp(path: Path, etag: str | None) -> Stamp:
    found = path.stat()
    return Stamp(found.st_size, found.st_mtime_ns, etag)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
