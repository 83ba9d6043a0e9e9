"""Coupon codes come as files, which a person loads into a pool of the ledger."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from perennial.foundation.errors import BadConfig, BadData
from perennial.foundation.settings import Settings
from perennial.ledger import open_ledger

_POOL = r"[a-z][a-z0-9_]{0,39}"
_CODE = r"[^\s\"'<>{}%,;]{3,64}"


def load(pool: str, file: Path, settings: Settings, *, by: str) -> dict[str, int]:
    """
    Add the codes of a file to a pool, all or none; returns how many were read and how many are new.

    The file has one code a line, or is a CSV file with a column `code`. Raises BadConfig for a pool that no campaign
    can name, BadData naming the line that holds no code.
    """
    if not re.fullmatch(_POOL, pool):
        raise BadConfig(f"A pool is named in lower case, such as spring_2026 (got {pool!r}).")
    codes = list(_codes(file))
    with open_ledger(settings) as ledger:
        return {"codes": len(codes), "new": ledger.load_coupons(pool, codes, by=by)}


def _codes(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines)
            column = 0
            for number, row in enumerate(rows, start=1):
                if number == 1 and "code" in row:
                    column = row.index("code")
                elif any(row):
                    code = row[column].strip() if column < len(row) else ""
                    if not re.fullmatch(_CODE, code):
                        raise BadData(f"{file}: line {number} has no code of 3 to 64 characters. Nothing was loaded.")
                    yield code
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{file}: not readable as text or CSV. Nothing was loaded.") from error
