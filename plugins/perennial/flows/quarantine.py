"""Refused rows: which there are and why, and those that pass by now, once the mapping or the rules were corrected."""

import json
import logging
from collections import Counter
from collections.abc import Collection

import pyarrow as pa

from perennial.flows.ingest import chunks
from perennial.flows.raw_tables import CHECKS, as_arrow, next_batch
from perennial.flows.reading import Row
from perennial.foundation.days import current_time, yesterday
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import open_ledger
from perennial.quality import FINDINGS, validate
from perennial.sources import Batch, Source, landed, load_source, open_scratch, parse, without_erased
from perennial.warehouse import Warehouse, open_warehouse

log = logging.getLogger(__name__)


def reasons(settings: Settings) -> list[Row]:
    """
    Refused rows by source and reasons: how many, in how many files, from which day to which; most rows first.

    Raises BadConfig before the first run, Retryable while another process has the warehouse; so do the others below.
    """
    with open_warehouse(settings) as warehouse:
        _raise_if_empty(warehouse)
        found: list[Row] = warehouse.query(
            "select source, reasons, count(*) as rows, count(distinct file) as files, min(day) as first_day,"
            " max(day) as last_day from quarantine.rows group by source, reasons order by rows desc, source, reasons"
        ).to_pylist()
    return [row | {"reasons": _listed(row["reasons"])} for row in found]


def refused_rows(source: str | None, limit: int, settings: Settings) -> list[Row]:
    """Newest file first: source, file, row, reasons and content, which may hold personal data."""
    with open_warehouse(settings) as warehouse:  # they are not published
        _raise_if_empty(warehouse)
        rows: list[Row] = warehouse.query(
            "select source, file, row, reasons, content from quarantine.rows where $source in ('', source)"
            " order by batch_id desc, source, file, row limit $limit",
            source=source or "",
            limit=limit,
        ).to_pylist()
    return [row | {"reasons": _listed(row["reasons"])} for row in rows]


def replay(source_name: str, settings: Settings, *, dry_run: bool = False) -> dict[str, int]:
    """
    Judge the refused rows of a source again, by its mapping and rules of today, and take in those that pass now.

    They count on their own days from the next run on; a row is taken once. The others stay as they are. Returns how
    many rows were waiting, how many pass, and how many are in files that cannot be read as they were: the landed copy
    is gone or pseudonymised, or has another number of rows by the source file of today. With `dry_run` nothing is
    changed. Raises BadConfig for an unknown source, BadData when a mapping expression fails.
    """
    source = load_source(source_name, settings)
    figures = {"waiting": 0, "passing": 0, "unreadable": 0}
    with open_warehouse(settings) as warehouse:
        _raise_if_empty(warehouse)
        refused = warehouse.query(
            "select file, version, row from quarantine.rows where source = $source", source=source.name
        )
        figures["waiting"] = refused.num_rows
        waiting = _by_file(refused)
        rows_then = _rows_by_file(warehouse, source)
        entries = [entry for entry in landed(source.name, settings) if (entry.file, entry.version) in waiting]
        for chunk in chunks(entries):
            with open_scratch(source.timezone, settings) as scratch:
                batch = parse(scratch, source, chunk, settings)
                validate(scratch.connection, batch.table, source.contract)
                unreadable = {(entry.file, entry.version): reason for entry, reason in batch.refused.items()}
                for count in batch.counts(FINDINGS, settings.zone):
                    file = (count.entry.file, count.entry.version)
                    if count.rows != rows_then[file]:  # then a row's number is not that of the refused one
                        unreadable[file] = (
                            f"Source {source.name}, file {count.entry.file}: it had {rows_then[file]} rows and has "
                            f"{count.rows} by the source file of today. Nothing of it is taken; deliver it again."
                        )
                for file, reason in unreadable.items():
                    log.warning("%s", reason)
                    figures["unreadable"] += waiting[file]
                passing = batch.passing(FINDINGS, _without(refused, unreadable))
                figures["passing"] += passing.num_rows
                if passing.num_rows and not dry_run:
                    with warehouse.transaction():
                        _take(warehouse, source, batch, passing, settings)
    log.info("%s: %s", source.name, figures)
    return figures


def _take(warehouse: Warehouse, source: Source, batch: Batch, passing: pa.Table, settings: Settings) -> None:
    """Move the rows `passing` from quarantine to the raw table, as part of the files they came in."""
    raw, number = f"raw.{source.contract.name}", next_batch(warehouse)
    with open_ledger(settings) as ledger:
        erased = ledger.erased()
    accepted = batch.accepted(FINDINGS, [], number, current_time(settings), settings, only=passing)
    with without_erased(accepted, source.contract, erased) as rows:
        warehouse.append(raw, rows)
    warehouse.execute("drop table if exists taken_rows")
    warehouse.load("taken_rows", passing, temporary=True)
    warehouse.execute(
        "delete from quarantine.rows where source = $source"
        " and (file, version, row) in (select file, version, row from taken_rows)",
        source=source.name,
    )
    warehouse.drop("taken_rows")
    for (file, version), rows in _by_file(passing).items():
        # All rows of a file are of one batch, by which the next run sees that the file has changed.
        of_file = {"batch": number, "source": source.name, "file": file, "version": version}
        warehouse.execute(
            f"update {raw} set _batch_id = $batch where _source = $source and _file = $file and _version = $version",
            **of_file,
        )
        warehouse.execute(
            "update raw.files set batch_id = $batch, accepted = accepted + $rows, quarantined = quarantined - $rows"
            " where source = $source and file = $file and version = $version",
            **of_file,
            rows=rows,
        )
    note = {
        "batch_id": number,
        "source": source.name,
        "contract": source.contract.name,
        "day": yesterday(settings),
        "rule": "replayed",
        "severity": "info",
        "rows": passing.num_rows,
        "failed": 0,
        "passed": True,
        "detail": "rows that were refused before",
    }
    warehouse.append("raw.checks", as_arrow([note], CHECKS))


def _by_file(rows: pa.Table) -> Counter[tuple[str, int]]:
    """(file, version) -> how many rows."""
    return Counter(zip(rows["file"].to_pylist(), rows["version"].to_pylist(), strict=True))


def _rows_by_file(warehouse: Warehouse, source: Source) -> dict[tuple[str, int], int]:
    """(file, version) -> how many rows it had when it was loaded."""
    files = warehouse.query("select file, version, rows from raw.files where source = $source", source=source.name)
    return {(row["file"], row["version"]): row["rows"] for row in files.to_pylist()}


def _without(rows: pa.Table, files: Collection[tuple[str, int]]) -> pa.Table:
    kept = [
        (file, version) not in files
        for file, version in zip(rows["file"].to_pylist(), rows["version"].to_pylist(), strict=True)
    ]
    return rows.filter(pa.array(kept, pa.bool_()))


def _raise_if_empty(warehouse: Warehouse) -> None:
    if "quarantine.rows" not in warehouse.tables():
        raise BadConfig("Nothing has been loaded yet. Run a day first, for example `perennial run`.")


def _listed(reasons: str) -> str:
    return ", ".join(json.loads(reasons))
