"""Files in the inbox → the landing → the quality gate → `raw.<contract>` and `quarantine.rows`."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date, datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Erased, load_contracts
from perennial.flows.day_order import is_outdated
from perennial.flows.raw_tables import (
    CHECKS,
    FILES,
    FORMS,
    MIX,
    QUARANTINE,
    as_arrow,
    create_raw_tables,
    next_batch,
    stamped,
)
from perennial.flows.regularity import judge_regularity
from perennial.foundation.days import Run, current_time
from perennial.foundation.errors import BadData
from perennial.foundation.settings import Settings
from perennial.ledger import open_ledger
from perennial.quality import FINDINGS, Check, validate
from perennial.sources import (
    REASONS,
    Batch,
    FileCount,
    FileFinding,
    Form,
    KnownForms,
    Landed,
    Source,
    forms_of,
    landed,
    load_source,
    load_sources,
    mix_of,
    open_scratch,
    parse,
    read_pseudonymised,
    source_names,
    superseded_duplicates,
    take,
    without_erased,
)
from perennial.warehouse import Warehouse, open_warehouse

__all__ = ["land", "load", "source_names"]

log = logging.getLogger(__name__)

_BYTES_AT_ONCE = 1 << 27
_PACKED = 8  # what a compressed byte may unpack to, for the limit above


def land(source: str, run: Run, settings: Settings) -> dict[str, int]:
    """Take what is new in the inbox for one source. Needs neither the warehouse nor the other sources."""
    taken = take(load_source(source, settings), settings)
    figures = {
        "files": len(taken),
        "bytes": sum(entry.bytes for entry in taken),
        "duplicate": sum(entry.duplicate_of is not None for entry in taken),
    }
    log.info("%s, %s: took %d file(s), %d bytes", run.day, source, figures["files"], figures["bytes"])
    return figures


def load(run: Run, settings: Settings, known_at: datetime | None = None) -> dict[str, dict[str, int]]:
    """
    Bring every landed file that is not in the warehouse yet (and had landed by `known_at`) through the gate.

    A day older than the newest one that was begun loads nothing: its files are left to the next run, as a rebuild would
    do. Each source is one transaction. Returns by source: files seen, rows landed, accepted, quarantined and held, and
    files refused or duplicate. Refused files are recorded, logged and tried again when their source or contract file
    changes; they stop the run only if a required source brought nothing else.

    Raises BadConfig for a wrong source or contract, BadData for a required source all of whose newest files failed.
    """
    sources = load_sources(settings)
    contracts = load_contracts(settings)
    with open_warehouse(settings) as warehouse:
        if is_outdated(run, warehouse):
            return {}
        create_raw_tables(warehouse, contracts.values())
        with open_ledger(settings) as ledger:
            erased = ledger.erased()
        figures = {
            name: _Loader(warehouse, source, erased, run, settings).load(known_at) for name, source in sources.items()
        }
        judge_regularity(warehouse, sources.values(), run, settings)
        failed = [name for name, source in sources.items() if source.required and _newest_failed(warehouse, name)]
    if failed and known_at is None:  # a rebuild repeats what was, it does not judge it
        raise BadData(
            f"Every newest file of {', '.join(failed)} was refused or held; the warehouse keeps what it had. "
            "The reasons are in raw.files and in the log above."
        )
    return figures


class _Loader:
    """One source going through the gate in one run."""

    def __init__(self, warehouse: Warehouse, source: Source, erased: Erased, run: Run, settings: Settings) -> None:
        self.warehouse = warehouse
        self.source = source
        self.erased = erased
        self.run = run
        self.settings = settings
        self.ingested_at = current_time(settings)
        self.rules = _rules_hash(source)
        self.judged: dict[tuple[str, int], dict[str, str]] = {}  # (file, version) → status and rules so far
        self.figures = dict.fromkeys(("files", "landed", "accepted", "quarantined", "held", "refused", "duplicate"), 0)

    def load(self, known_at: datetime | None) -> dict[str, int]:
        fresh, duplicates = self._pending(known_at)
        if not fresh and not duplicates:
            return self.figures
        empty = dict(self.figures)
        try:
            with self.warehouse.transaction():
                self._forget(fresh)
                self._record_duplicates(duplicates)
                for chunk in chunks([entry for entry in fresh if entry.personal_rows is None]):
                    self._load_chunk(chunk)
                for entry in fresh:
                    if entry.personal_rows is not None:
                        self._load_pseudonymised(entry)
        except BadData as error:
            log.warning("%s: the batch is refused: %s", self.source.name, error)
            self.figures = empty
            with self.warehouse.transaction():
                self._forget(fresh)
                self._record_duplicates(duplicates)
                self._refuse_all(fresh, str(error))
        log.info("%s, %s: %s", self.run.day, self.source.name, self.figures)
        return self.figures

    def _pending(self, known_at: datetime | None) -> tuple[list[Landed], list[Landed]]:
        """Entries to load, and duplicates to record."""
        known = [
            entry
            for entry in landed(self.source.name, self.settings)
            if known_at is None or entry.landed_at <= known_at
        ]
        alone = superseded_duplicates(known)
        self.judged = {
            (row["file"], row["version"]): row
            for row in self.warehouse.query(
                "select file, version, status, rules from raw.files where source = $source", source=self.source.name
            ).to_pylist()
        }
        fresh: list[Landed] = []
        duplicates: list[Landed] = []
        for entry in known:
            identity = (entry.file, entry.version)
            is_duplicate = entry.duplicate_of is not None and identity not in alone
            before = self.judged.get(identity)
            if before is None:
                (duplicates if is_duplicate else fresh).append(entry)
            elif (before["status"] in ("refused", "held") and before["rules"] != self.rules) or (
                before["status"] == "duplicate" and not is_duplicate
            ):
                fresh.append(entry)
        return fresh, duplicates

    def _forget(self, entries: list[Landed]) -> None:
        """Remove what an earlier judgement said of files that are tried again."""
        for entry in entries:
            if (entry.file, entry.version) in self.judged:
                self.warehouse.execute(
                    "delete from raw.files where source = $source and file = $file and version = $version",
                    source=self.source.name,
                    file=entry.file,
                    version=entry.version,
                )

    def _load_chunk(self, entries: list[Landed]) -> None:
        batch_id = next_batch(self.warehouse)
        with open_scratch(self.source.timezone, self.settings) as scratch:
            batch = parse(scratch, self.source, entries, self.settings)
            checks = validate(scratch.connection, batch.table, self.source.contract)
            counts = batch.counts(FINDINGS, self.settings.zone)
            held = {count.entry: self._why_held(count) for count in counts if self._is_held(count)}
            findings = self._judge_forms(batch_id, batch, held)
            accepted = batch.accepted(FINDINGS, list(held), batch_id, self.ingested_at, self.settings)
            self._append_rows(accepted)
            self.warehouse.append(
                "quarantine.rows",
                batch.quarantined(FINDINGS, list(held), batch_id, self.ingested_at, self.run.day, self.erased),
            )
            self._record_files(batch_id, batch, counts, held)
            self._record_mix(batch_id, batch, held)
            self._record_checks(batch_id, batch, [*findings, *checks], counts)

    def _load_pseudonymised(self, entry: Landed) -> None:
        """What the gate decided of its rows when it came stands; of its checks those are left that refused some."""
        batch_id = next_batch(self.warehouse)
        file = self._of_file(batch_id, entry)
        stamps = {f"_{name}": value for name, value in file.items()} | {"_ingested_at": self.ingested_at}
        figures: Counter[str] = Counter()
        broken: Counter[str] = Counter()
        days: list[date] = []
        for rows in read_pseudonymised(entry, self.settings):
            accepted = rows.filter(pc.is_null(rows[REASONS])).drop_columns([REASONS])
            refused = rows.filter(pc.is_valid(rows[REASONS])).select(["_row", REASONS]).to_pylist()
            figures.update(rows=len(rows), accepted=len(accepted), quarantined=len(refused))
            days += pc.drop_null(pc.unique(accepted["_day"])).to_pylist()
            self._append_rows(stamped(accepted, stamps))
            common = file | {"contract": self.source.contract.name, "day": self.run.day, "content": "{}"}
            quarantined = [
                common | {"row": row["_row"], "reasons": row[REASONS], "ingested_at": self.ingested_at}
                for row in refused
            ]
            self.warehouse.append("quarantine.rows", as_arrow(quarantined, QUARANTINE))
            broken.update(reason.partition(":")[0] for row in refused for reason in json.loads(row[REASONS]))
        self._append_checks(
            batch_id,
            [
                Check(rule, "critical", figures["rows"], failed, passed=False, detail="")
                for rule, failed in sorted(broken.items())
            ],
        )
        self._append_files([self._file(batch_id, entry, "loaded", None, max(days, default=None), **figures)])
        self._count(files=1, landed=figures["rows"], accepted=figures["accepted"], quarantined=figures["quarantined"])

    def _append_rows(self, accepted: pa.RecordBatchReader | pa.Table) -> None:
        with without_erased(accepted, self.source.contract, self.erased) as rows:
            self.warehouse.append(f"raw.{self.source.contract.name}", rows)

    def _is_held(self, count: FileCount) -> bool:
        return count.quarantined > self.source.max_refused * count.rows

    def _judge_forms(self, batch_id: int, batch: Batch, held: dict[Landed, str]) -> list[Check]:
        """Hold files whose people are named in another form than until now; remember the forms of what is taken."""
        checks, rows = [], []
        for entry, forms in forms_of(batch).items():
            for found in self._known_forms.judge(entry, forms):
                log.warning("%s, %s", self.source.name, found.detail)
                severity = "critical" if found.holds else "warning"
                checks.append(Check(found.rule, severity, found.rows, found.failed, passed=False, detail=found.detail))
                if found.holds:
                    held.setdefault(entry, self._why_held_for(found))
            if entry not in held:
                self._known_forms.learn(forms)
                rows += [self._of_file(batch_id, entry) | asdict(form) for form in forms]
        self.warehouse.append("raw.forms", as_arrow(rows, FORMS))
        return checks

    @cached_property
    def _known_forms(self) -> KnownForms:
        seen = self.warehouse.query(
            "select column_name, is_mapped, form, cast(sum(rows) as bigint) as rows, min(example) as example"
            " from raw.forms where source = $source group by column_name, is_mapped, form",
            source=self.source.name,
        )
        return KnownForms(self.source, [Form(**row) for row in seen.to_pylist()])

    def _record_files(self, batch_id: int, batch: Batch, counts: list[FileCount], held: dict[Landed, str]) -> None:
        rows = []
        for count in counts:
            figures = {"rows": count.rows, "accepted": count.rows - count.quarantined, "quarantined": count.quarantined}
            status, reason, newest_day = "loaded", None, count.newest_day
            if count.entry in held:
                figures |= {"accepted": 0, "quarantined": 0}
                status, reason, newest_day = "held", held[count.entry], None
                log.warning("%s, %s: %s", self.source.name, count.entry.file, reason)
                self._count(held=count.rows)
            rows.append(self._file(batch_id, count.entry, status, reason, newest_day, **figures))
            self._count(landed=count.rows, accepted=figures["accepted"], quarantined=figures["quarantined"])
        for entry, reason in batch.refused.items():
            log.warning("%s", reason)
            rows.append(self._file(batch_id, entry, "refused", reason))
        self._count(files=len(rows), refused=len(batch.refused))
        self._append_files(rows)

    def _record_mix(self, batch_id: int, batch: Batch, held: dict[Landed, str]) -> None:
        rows = [
            self._of_file(batch_id, entry) | asdict(count)
            for entry, counts in mix_of(batch, FINDINGS, held).items()
            for count in counts
        ]
        self.warehouse.append("raw.mix", as_arrow(rows, MIX))

    def _of_file(self, batch_id: int, entry: Landed) -> dict[str, object]:
        return {"source": self.source.name, "file": entry.file, "version": entry.version, "batch_id": batch_id}

    def _why_held(self, count: FileCount) -> str:
        reasons = ", ".join(f"{reason} ({rows})" for reason, rows in list(count.reasons.items())[:5])
        return (
            f"Held whole: {count.quarantined} of {count.rows} rows break critical rules, allowed is "
            f"{self.source.max_refused:.0%}: {reasons}. Correct the file, the mapping or max_refused in "
            f"sources/{self.source.name}.yaml."
        )

    def _why_held_for(self, found: FileFinding) -> str:
        return (
            f"Held whole: {found.detail}. If these are other names, correct the file or the mapping; if they are "
            f"right, add the form to known_forms.{found.column} in sources/{self.source.name}.yaml."
        )

    def _record_checks(self, batch_id: int, batch: Batch, checks: list[Check], counts: list[FileCount]) -> None:
        rows = sum(count.rows for count in counts)
        unframed = sum(count.reasons.get("framing", 0) for count in counts)
        files = Check("framing", "critical", rows, unframed, unframed == 0, "")
        notes = [Check(note.rule, note.severity, rows, 0, note.severity == "info", note.detail) for note in batch.notes]
        self._append_checks(batch_id, [files, *notes, *checks])

    def _record_duplicates(self, duplicates: list[Landed]) -> None:
        if duplicates:
            batch_id = next_batch(self.warehouse)
            self._append_files(
                [
                    self._file(batch_id, entry, "duplicate", f"The same content as {entry.duplicate_of}.")
                    for entry in duplicates
                ]
            )
            self._count(files=len(duplicates), duplicate=len(duplicates))

    def _refuse_all(self, entries: list[Landed], reason: str) -> None:
        batch_id = next_batch(self.warehouse)
        self._append_files([self._file(batch_id, entry, "refused", reason) for entry in entries])
        self._append_checks(batch_id, [Check("batch", "critical", 0, 0, passed=False, detail=reason)])
        self._count(files=len(entries), refused=len(entries))

    def _file(
        self, batch_id: int, entry: Landed, status: str, reason: str | None, newest_day: date | None = None, **rows: int
    ) -> dict[str, object]:
        return {
            "source": self.source.name,
            "contract": self.source.contract.name,
            "file": entry.file,
            "version": entry.version,
            "sha256": entry.sha256,
            "bytes": entry.bytes,
            "landed_at": entry.landed_at,
            "day": self.run.day,
            "batch_id": batch_id,
            "status": status,
            "reason": reason,
            "rules": self.rules,
            "rows": 0,
            "accepted": 0,
            "quarantined": 0,
            "newest_day": newest_day,
            **rows,
        }

    def _append_files(self, rows: list[dict[str, object]]) -> None:
        self.warehouse.append("raw.files", as_arrow(rows, FILES))

    def _append_checks(self, batch_id: int, checks: Sequence[Check]) -> None:
        common = {
            "batch_id": batch_id,
            "source": self.source.name,
            "contract": self.source.contract.name,
            "day": self.run.day,
        }
        self.warehouse.append("raw.checks", as_arrow([common | asdict(check) for check in checks], CHECKS))

    def _count(self, **figures: int) -> None:
        for name, figure in figures.items():
            self.figures[name] += figure


def _newest_failed(warehouse: Warehouse, source: str) -> bool:
    """Whether a source's most recently landed files were all refused or held."""
    return bool(
        warehouse.query(
            """
            select count(*) > 0 and count(*) = sum(case when status in ('refused', 'held') then 1 else 0 end) as failed
            from raw.files
            where source = $source and status <> 'duplicate'
                and landed_at = (
                    select max(landed_at) from raw.files where source = $source and status <> 'duplicate'
                )
            """,
            source=source,
        )["failed"][0].as_py()
    )


def chunks(entries: Sequence[Landed]) -> Iterator[list[Landed]]:
    """Files together up to a number of bytes, so that memory does not grow with the backlog."""
    chunk: list[Landed] = []
    size = 0
    for entry in entries:
        weight = entry.bytes * (_PACKED if entry.file.endswith((".gz", ".zst", ".parquet")) else 1)
        if chunk and size + weight > _BYTES_AT_ONCE:
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += weight
    if chunk:
        yield chunk


def _rules_hash(source: Source) -> str:
    written = source.file.read_bytes() + source.contract.path.read_bytes()
    return hashlib.md5(written, usedforsecurity=False).hexdigest()
