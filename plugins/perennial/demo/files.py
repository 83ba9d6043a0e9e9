"""The shape of every export, and the spool that turns lines into files of a day, some of them damaged on purpose."""

import codecs
import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perennial.demo.process import SUNDAY, Ints, Shop, day_of, weekday
from perennial.demo.text import Text, split

SATURDAY = 5


def _daily(days: Ints) -> Ints:
    return days


def _not_sundays(days: Ints) -> Ints:
    return np.asarray(days + (weekday(days) == SUNDAY))


def _weekdays(days: Ints) -> Ints:
    return np.asarray(days + np.where(weekday(days) == SATURDAY, 2, weekday(days) == SUNDAY))


def _sundays(days: Ints) -> Ints:
    return np.asarray(days + (SUNDAY - weekday(days)))


@dataclass(frozen=True)
class Export:
    """One kind of file the shop's systems write."""

    suffix: str
    header: str = ""  # without the line break; none for JSON
    written_on: Callable[[Ints], Ints] = _daily  # the day of the file that takes what is exported on a day
    renamed: tuple[str, str] | None = None  # a column and its other, known name
    misspelt: tuple[str, str] | None = None  # a required column and what somebody made of it
    second_encoding: str | None = None
    extra: tuple[str, str] | None = None  # what an additional column adds to the header, and to each line


EXPORTS = {
    "web_orders": Export(
        ".csv",
        "order_no,line,created,customer_ref,email,sku,product,category,qty,price,discount,tax,shipping,currency,status,"
        "returns_order_no,device,coupon,campaign",
        renamed=("customer_ref", "customer_id"),
        misspelt=("created", "craeted"),
        extra=(",gift_wrap", ",no"),
    ),
    "store_tills": Export(
        ".csv",
        "Bonnummer;Datum;Filiale;Kasse;Kundenkarte;Kundennr;Artikel;Bezeichnung;Warengruppe;Menge;Einzelpreis;Rabatt;"
        "MwSt;Vorgang;Ursprungsbon;Zahlart",
        _not_sundays,
        renamed=("Menge", "Anzahl"),
        misspelt=("Datum", "Dtaum"),
        second_encoding="cp1252",
        extra=(";Bediener", ";17"),
    ),
    "web_interactions": Export(".jsonl"),
    "app_interactions": Export(".jsonl.gz"),
    "support_desk": Export(".jsonl", written_on=_weekdays),
    "social": Export(".jsonl.gz", written_on=_sundays),
    "customers": Export(
        ".csv",
        "customer_ref,email,phone,loyalty_card,device_id,name,birthday,gender,country,region,city,postcode,locale,"
        "timezone,occupation,income_band,interests,signup_at,signup_channel,acquisition_cost,referred_by,updated_at",
        renamed=("postcode", "zip"),
        second_encoding="gb18030",
        extra=(",fax", ","),
    ),
    "consents": Export(".jsonl"),
    "products": Export(".csv"),  # written whole, with its header
}


class Spool:
    """
    Collects lines for the files of days [first, end) below a work folder, then finishes them into the inbox.

    `counts` says how many rows of what kind each (source, day) received; "rows" counts all of them.
    """

    def __init__(self, shop: Shop, work: Path, first: int, end: int) -> None:
        self._shop, self._work, self._first, self._end = shop, work, first, end
        self.counts: Counter[tuple[str, int, str]] = Counter()
        shutil.rmtree(work, ignore_errors=True)  # what a killed process left
        for source in EXPORTS:
            (work / source).mkdir(parents=True)

    def add(self, source: str, days: Ints, lines: Text, kinds: dict[str, Ints] | None = None) -> None:
        """Add lines, each ending in a line break, to the files of `days`; `kinds` names the days of special rows."""
        files = EXPORTS[source].written_on(days)
        for day, content in split(lines, files).items():
            if self._first <= day < self._end:
                with (self._work / source / str(day)).open("ab") as part:
                    part.write(content)
        self._count(source, "rows", files)
        for kind, when in (kinds or {}).items():
            self._count(source, kind, EXPORTS[source].written_on(when))

    def add_again(self, source: str, days: Ints, lines: Text) -> None:
        """Add lines that are in the files of `days` to the following file as well."""
        following = EXPORTS[source].written_on(days) + 1
        self.add(source, following, lines, {"duplicate": following})

    def _count(self, source: str, kind: str, files: Ints) -> None:
        days, rows = np.unique(files[(files >= self._first) & (files < self._end)], return_counts=True)
        self.counts.update(dict(zip(((source, int(day), kind) for day in days), rows.tolist(), strict=True)))

    def finish(self, inbox: Path) -> tuple[int, int]:
        """Write every collected file into the inbox, whole or not at all. Returns (files, bytes)."""
        files = size = 0
        for source, export in EXPORTS.items():
            for part in sorted((self._work / source).iterdir(), key=lambda path: int(path.name)):
                day = int(part.name)
                content, kinds = self._damaged(source, export, day, part.read_bytes())
                for kind in kinds:
                    self.counts[source, day, kind] = self.counts[source, day, "rows"]
                if export.suffix.endswith(".gz"):
                    content = gzip.compress(content, 6, mtime=0)
                write_whole(inbox / source / f"{day_of(day)}{export.suffix}", content)
                part.unlink()
                files, size = files + 1, size + len(content)
        shutil.rmtree(self._work)
        return files, size

    def _damaged(self, source: str, export: Export, day: int, content: bytes) -> tuple[bytes, list[str]]:
        """A file with its header, possibly damaged on purpose, and the names of the damage."""
        if not export.header:
            return content, []
        dirt, header = self._shop.dirt, export.header
        rng = self._shop.stream(f"file of {source}", day)
        chances = rng.random(6)
        kinds = []
        if export.renamed and chances[0] < dirt.renamed_header:
            header = header.replace(*export.renamed, 1)
            kinds.append("renamed_header")
        if export.misspelt and chances[1] < dirt.misspelt_header:
            header = header.replace(*export.misspelt, 1)
            kinds.append("misspelt_header")
        if export.extra and chances[2] < dirt.extra_column:
            header += export.extra[0]
            content = content.replace(b"\n", f"{export.extra[1]}\n".encode())
            kinds.append("extra_column")
        if chances[3] < dirt.blank_lines:
            content = _with_blank_lines(content, rng)
            kinds.append("blank_lines")
        content = f"{header}\n".encode() + content
        if export.second_encoding and chances[4] < dirt.other_encoding:
            content = content.decode().encode(export.second_encoding)
            kinds.append("other_encoding")
        elif chances[5] < dirt.byte_order_mark:
            content = codecs.BOM_UTF8 + content
            kinds.append("byte_order_mark")
        return content, kinds


def _with_blank_lines(content: bytes, rng: np.random.Generator) -> bytes:
    rows = content.splitlines(keepends=True)
    for place in sorted(rng.integers(0, len(rows) + 1, 3).tolist(), reverse=True):
        rows.insert(place, b"\n")
    return b"".join(rows)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it; equal content leaves the file alone."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(content)
    partial.replace(path)


def write_json(path: Path, content: object) -> None:
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
