"""Columns of numbers made into text, and columns of text into lines of a file, without a Python loop over rows."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.demo.process import Bools, Ints, day_of, utc_offset

Text: TypeAlias = Any  # a pyarrow string array; pyarrow ships no types

_TWO_DIGITS = pa.array([f"{n:02d}" for n in range(100)])


def join(*parts: Text | str) -> Text:
    """Concatenate row by row; a plain string is repeated on every row."""
    return pc.binary_join_element_wise(*parts, "")


def choose(words: Sequence[str] | Text, index: Ints) -> Text:
    """words[index], and nothing for an index below zero."""
    table = words if isinstance(words, pa.Array) else pa.array(list(words), pa.string())
    return pc.fill_null(table.take(pa.array(index, mask=index < 0)), "")


def where(condition: Bools, yes: Text | str, no: Text | str) -> Text:
    return pc.if_else(pa.array(condition), yes, no)


def separated(columns: Sequence[Text | str], delimiter: str) -> list[Text | str]:
    return [part for column in columns for part in (column, delimiter)][:-1]


def number(values: Ints, width: int = 0) -> Text:
    """Whole numbers; with a width, zeros in front."""
    plain = pc.cast(pa.array(values), pa.string())
    return pc.utf8_lpad(plain, width, "0") if width else plain


def money(cents: Ints, point: str = ".") -> Text:
    size, sign = np.abs(cents), choose(["", "-"], (cents < 0).astype(np.int64))
    return join(sign, number(size // 100), point, choose(_TWO_DIGITS, size % 100))


def dates(days: Ints, pattern: str = "%Y-%m-%d") -> Text:
    distinct, inverse = np.unique(days, return_inverse=True)
    return choose([day_of(day).strftime(pattern) for day in distinct.tolist()], inverse)


def clocks(seconds: Ints, *, with_seconds: bool = True) -> Text:
    parts = [choose(_TWO_DIGITS, seconds // 3600), ":", choose(_TWO_DIGITS, seconds // 60 % 60)]
    return join(*parts, ":", choose(_TWO_DIGITS, seconds % 60)) if with_seconds else join(*parts)


def moments(days: Ints, seconds: Ints) -> Text:
    """The shop's local time as `2026-01-31T20:15:00Z`, in UTC."""
    total = days * 86400 + seconds - utc_offset(days, seconds)
    return join(dates(total // 86400), "T", clocks(total % 86400), "Z")


def member(name: str, values: Text) -> Text:
    """`, "name": "value"` of a JSON object; nothing where the value is empty."""
    return pc.if_else(pc.equal(values, ""), "", join(f', "{name}": "', values, '"'))


def digits(index: Ints, places: int, salt: int) -> Ints:
    """A number of `places` digits that differs for each index: a permutation that looks random."""
    return np.asarray((index * 387_420_489 + salt * 7919) % 10**places)


def split(lines: Text, files: Ints) -> dict[int, memoryview]:
    """The bytes of each file: `lines` (each with its own line break) grouped by file number, order kept."""
    if not len(lines):
        return {}
    order = np.argsort(files, kind="stable")
    lines = pa.concat_arrays([lines.take(pa.array(order))])
    _, offsets, data = lines.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)
    starts = np.flatnonzero(np.diff(files[order], prepend=files[order[0]] - 1))
    ends = np.append(starts[1:], len(files))
    content, ranges = memoryview(data), zip(starts.tolist(), ends.tolist(), strict=True)
    return {int(files[order[begin]]): content[bounds[begin] : bounds[end]] for begin, end in ranges}
