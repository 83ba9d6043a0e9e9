"""Records of a CSV file read one by one: slow, and it loses no line of a damaged file."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LONGEST_RECORD_LINES = 500
_LONGEST_RECORD_CHARACTERS = 100_000


@dataclass(frozen=True)
class Unframed:
    """A line that is no record: its text."""

    text: str


def records(lines: Iterable[str], delimiter: str, width: int) -> Iterator[list[str] | Unframed]:
    """
    The records of CSV lines: `width` fields each, or the one line that cannot be framed.

    A quote that is never closed costs only its own line: reading goes on with the next one.
    """
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.begin()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            first = feed.give_back_all_but_first()
            yield Unframed(first.rstrip("\r\n"))
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
            continue
        if not any(fields):
            continue  # a blank line is not a row
        if len(fields) == width:
            yield fields
        else:
            yield Unframed("".join(feed.read).rstrip("\r\n"))


class _Feed:
    """Lines for csv.reader that remembers those of the current record, and stops one that grows without end."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._returned: deque[str] = deque()
        self.read: list[str] = []
        self._characters = 0

    def begin(self) -> None:
        self.read = []
        self._characters = 0

    def give_back_all_but_first(self) -> str:
        self._returned.extendleft(reversed(self.read[1:]))
        return self.read[0]

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        if len(self.read) >= _LONGEST_RECORD_LINES or self._characters > _LONGEST_RECORD_CHARACTERS:
            raise csv.Error("a quoted text has no end")
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.read.append(line)
        self._characters += len(line)
        return line
