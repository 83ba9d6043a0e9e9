"""
Split the year's file of invoices into the files the shop would have exported, one a day or one a month.

    python examples/online_retail/split.py online_retail_2009-12_2010-11.csv.gz var/online_retail/inbox/invoices

Every line stays as it is, byte for byte; each file starts with the header.
"""

import argparse
import csv
import gzip
from itertools import groupby
from pathlib import Path

_LENGTH = {"day": len("2009-12-01"), "month": len("2009-12")}


def split(file: Path, folder: Path, by: str = "day") -> list[Path]:
    """Write `<folder>/2009-12-01.csv` (or `2009-12.csv`) and so on; returns the files, oldest first."""
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        header, *rows = lines.readlines()
    place = next(csv.reader([header.decode()])).index("InvoiceDate")
    dates = [row[place][: _LENGTH[by]] for row in csv.reader(row.decode() for row in rows)]
    written = []
    for name, part in groupby(sorted(zip(dates, rows, strict=True), key=lambda pair: pair[0]), lambda pair: pair[0]):
        written.append(folder / f"{name}.csv")
        written[-1].write_bytes(header + b"".join(row for _, row in part))
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--by", choices=sorted(_LENGTH), default="day")
    given = parser.parse_args()
    print(f"{len(split(given.file, given.folder, given.by))} files in {given.folder}")  # noqa: T201 - its output
