"""Files that are put into the inbox folder."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from perennial.foundation.settings import Settings
from perennial.sources.arrival import Arrival, Stamp
from perennial.sources.definition import Source


def files_in_inbox(source: Source, settings: Settings) -> Iterator[Arrival]:
    """What lies below the inbox where `path` says, in the order of the names. Hidden files are passed over."""
    for path in sorted(settings.inbox_dir.glob(source.path)):
        if path.is_file() and not path.name.startswith("."):
            file = path.relative_to(settings.inbox_dir).as_posix()
            yield Arrival(file, partial(_stamp, path), partial(_open, path))


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return Stamp(found.st_size, found.st_mtime_ns)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
