"""Landed files that are older than the rule book allows give up what they say of persons: they are pseudonymised."""

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import islice

from perennial.contracts.erased import Erased, identifiers_in, is_blanked
from perennial.delivery.tokens import signing_secrets
from perennial.foundation.days import current_time
from perennial.foundation.settings import Settings
from perennial.ledger import open_ledger
from perennial.quality import load_intake_rules
from perennial.sources import (
    KEPT,
    LEFT_OUT,
    REASONS,
    Landed,
    Source,
    landed,
    load_sources,
    replace_copies,
    without_erased,
    write_pseudonymised,
)
from perennial.warehouse import Warehouse, open_warehouse

log = logging.getLogger(__name__)

_AT_ONCE = 200  # files a source: an old landing is worked off day by day
_WRITTEN_ANEW = {"_source", "_file", "_version", "_batch_id", "_ingested_at"}  # by whoever loads the rows again


def pseudonymise(settings: Settings) -> dict[str, int]:
    """
    Put pseudonymised copies in the place of landed files older than `landed_days`; returns how many were written.

    Only files that were taken in: those refused or held wait to be mended. Of contracts that keep personal data while a
    row is in force, a copy is written again whenever fewer of its rows are. What quarantine holds of these files goes
    with them. Files that tell of people who were erased do not wait: `leave_out_erased`. It may be killed at any moment
    and run again.
    """
    before = current_time(settings) - timedelta(days=load_intake_rules(settings).landed_days)
    with open_ledger(settings) as ledger:
        erased = ledger.erased()
    figures = {"files": 0}
    with open_warehouse(settings) as warehouse:
        for source in load_sources(settings).values():
            figures["files"] += leave_out_erased(warehouse, source, erased, settings).files
            if source.contract.personal and source.contract.keeps_personal_data != "always":
                for due in islice(_due(warehouse, source, before, settings), _AT_ONCE):
                    _pseudonymise(warehouse, source, due, erased, settings)
                    figures["files"] += 1
    if figures["files"]:
        log.info("%d landed file(s) pseudonymised", figures["files"])
    return figures


@dataclass(frozen=True)
class LeftOut:
    """Landed copies out of which the erased were taken, and those `naming` one that wait: a newest pull is needed."""

    files: int = 0
    waiting: int = 0


def leave_out_erased(
    warehouse: Warehouse, source: Source, erased: Erased, settings: Settings, naming: Collection[tuple[str, int]] = ()
) -> LeftOut:
    """
    Put copies without the erased in the place of landed files that tell of them; all else stays as it was accepted.

    Those are files out of whose rows the intake left somebody, and those `naming` one (file, version).
    """
    if not erased or not identifiers_in(source.contract):
        return LeftOut()
    blanked = _by_file(
        warehouse,
        source,
        f"select _file as file, _version as version, count(*) as rows from raw.{source.contract.name}"
        f" where _source = $source and {is_blanked()} group by _file, _version",
    ) | _by_file(
        warehouse,
        source,
        f"select file, version, count(*) as rows from quarantine.rows"
        f" where source = $source and content = '{LEFT_OUT}' group by file, version",
    )
    entries = landed(source.name, settings)
    needed = entries[-1:] if source.database or source.woocommerce else []
    files = waiting = 0
    for sharing in _copies(entries):
        due = [
            entry
            for entry in sharing
            if (entry.file, entry.version) in naming
            or (entry.personal_rows is None and (entry.file, entry.version) in blanked)
        ]
        if due and any(entry in needed for entry in sharing):
            waiting += any((entry.file, entry.version) in naming for entry in due)
        elif due:
            _replace(warehouse, source, _first(due[0], sharing), "true", erased, settings)
            files += 1
    return LeftOut(files, waiting)


def rebuild_horizon(settings: Settings) -> tuple[int, date | None]:
    """
    How many landed files are pseudonymised, and the day on which the last of them came; None where there is none.

    From files that came later a rebuild makes everything as it was; of older ones, people who were named by an address
    alone are somebody else afterwards.
    """
    came = [
        entry.landed_at.astimezone(settings.zone).date()
        for folder in sorted(settings.landing_dir.glob("*/"))
        for entry in landed(folder.name, settings)
        if entry.personal_rows is not None and not entry.is_whole
    ]
    return len(came), max(came, default=None)


def _due(warehouse: Warehouse, source: Source, before: datetime, settings: Settings) -> Iterator[list[Landed]]:
    """Copies to be written: the entries that share one, first one whose rows were taken in."""
    entries = landed(source.name, settings)
    if source.database or source.woocommerce:
        entries = entries[:-1]  # the next pull starts from the newest
    if not any(entry.landed_at < before for entry in entries):
        return
    taken = _by_file(
        warehouse,
        source,
        "select file, version, accepted as rows from raw.files where source = $source and status = 'loaded'",
    )
    in_force: dict[tuple[str, int], int] = {}
    if source.contract.keeps_personal_data:
        table = f"staging.{source.contract.name}"
        sql = f"select _file as file, _version as version, count(*) as rows from {table} where fate = 'current'"
        in_force = _by_file(warehouse, source, f"{sql} and _source = $source group by _file, _version")
    for sharing in _copies(entries):
        found = [entry for entry in sharing if (entry.file, entry.version) in taken]
        if found and found[0].landed_at < before and _is_due(found[0], in_force):
            yield _first(found[0], sharing)


def _copies(entries: Iterable[Landed]) -> Iterator[list[Landed]]:
    """The entries by the copy that they share."""
    copies: dict[str, list[Landed]] = {}
    for entry in entries:
        copies.setdefault(entry.path, []).append(entry)
    yield from copies.values()


def _first(chosen: Landed, sharing: list[Landed]) -> list[Landed]:
    return [chosen, *(entry for entry in sharing if entry is not chosen)]


def _is_due(entry: Landed, in_force: dict[tuple[str, int], int]) -> bool:
    return entry.personal_rows is None or in_force.get((entry.file, entry.version), 0) < entry.personal_rows


def _by_file(warehouse: Warehouse, source: Source, sql: str) -> dict[tuple[str, int], int]:
    rows = warehouse.query(sql, source=source.name).to_pylist()
    return {(row["file"], row["version"]): row["rows"] for row in rows}


def _pseudonymise(
    warehouse: Warehouse, source: Source, sharing: list[Landed], erased: Erased, settings: Settings
) -> None:
    kept = "false"
    if source.contract.keeps_personal_data:
        kept = f"""
            landed._row in (
                select _row from staging.{source.contract.name}
                where fate = 'current' and _source = $source and _file = $file and _version = $version
            )
        """
    _replace(warehouse, source, sharing, kept, erased, settings)


def _replace(
    warehouse: Warehouse, source: Source, sharing: list[Landed], kept: str, erased: Erased, settings: Settings
) -> None:
    """Let a copy of the accepted rows, with the personal data of those `kept`, take the place of the one they share."""
    entry, contract = sharing[0], source.contract
    file = {"source": source.name, "file": entry.file, "version": entry.version}
    of_file = "source = $source and file = $file and version = $version"
    refused = warehouse.query(f"select row as _row, reasons as {REASONS} from quarantine.rows where {of_file}", **file)
    columns = [name for name in warehouse.columns(f"raw.{contract.name}") if name not in _WRITTEN_ANEW]
    accepted = f"""
        select {", ".join(columns)}, {kept} as {KEPT}
        from raw.{contract.name} as landed
        where _source = $source and _file = $file and _version = $version
        order by _row
    """
    with warehouse.stream(accepted, **file) as rows, without_erased(rows, contract, erased) as left:
        secret = signing_secrets(settings)[-1]  # the oldest: one person's pseudonyms stay the same, file by file
        written = write_pseudonymised(entry, source, left, refused, secret, settings)
    warehouse.execute(f"update quarantine.rows set content = '{{}}' where {of_file}", **file)
    is_whole = kept == "true" and (entry.personal_rows is None or entry.is_whole)
    rows_left = written.personal_rows if is_whole or kept != "true" else entry.personal_rows
    replaced = [replace(one, path=written.path, personal_rows=rows_left, is_whole=is_whole) for one in sharing]
    replace_copies(replaced, source.name, settings)
