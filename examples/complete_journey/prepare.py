"""
Give each line of the data set's `campaigns` the type and dates of its campaign, which are in `campaign_descriptions`.

    python examples/complete_journey/prepare.py <folder of the data set> var/complete_journey/inbox

A mapping sees one file at a time. Lines stay in their order; the same two files make the same bytes.
"""

import argparse
import csv
import gzip
from pathlib import Path


def prepare(data: Path, inbox: Path) -> Path:
    """Write `<inbox>/campaigns_sent.csv`. Raises KeyError naming a campaign that is not described."""
    descriptions = {campaign: rest for campaign, *rest in _rows(data, "campaign_descriptions")}
    inbox.mkdir(parents=True, exist_ok=True)
    written = inbox / "campaigns_sent.csv"
    with written.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        for campaign, household in _rows(data, "campaigns"):  # the headers find each other, too
            lines.writerow([campaign, household, *descriptions[campaign]])
    return written


def _rows(data: Path, table: str) -> list[list[str]]:
    """The rows of a CSV file of the data set, packed or not; the first is the header."""
    packed = data / f"{table}.csv.gz"
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else (data / f"{table}.csv").read_bytes()
    return list(csv.reader(content.decode().splitlines()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("inbox", type=Path)
    given = parser.parse_args()
    print(f"{prepare(given.data, given.inbox)} is written")  # noqa: T201 - its output
