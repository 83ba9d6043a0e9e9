"""Refused rows as their source has them, for the person who corrects the source or its mapping."""

import json

from perennial.flows.reading import Row
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.warehouse import open_warehouse


def refused_rows(source: str | None, limit: int, settings: Settings) -> list[Row]:
    """
    Rows in quarantine, newest file first: source, file, row, reasons and content, which may hold personal data.

    They are not published, so this holds the warehouse for a moment. Raises BadConfig before the first run, Retryable
    while another process has the warehouse.
    """
    with open_warehouse(settings) as warehouse:
        if "quarantine.rows" not in warehouse.tables():
            raise BadConfig("Nothing has been loaded yet. Run a day first, for example `perennial run`.")
        rows: list[Row] = warehouse.query(
            "select source, file, row, reasons, content from quarantine.rows where $source in ('', source)"
            " order by batch_id desc, source, file, row limit $limit",
            source=source or "",
            limit=limit,
        ).to_pylist()
    return [row | {"reasons": ", ".join(json.loads(row["reasons"]))} for row in rows]
