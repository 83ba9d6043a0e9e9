"""Days that were run, and decisions frozen: campaign runs, their Parquet files, their templates."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import delete, select

from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig, BadData, Retryable
from perennial.ledger.store import Store, insert_new
from perennial.ledger.tables import campaign_runs, day_runs, templates

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class DayRun:
    """A day that was run, and what was known then."""

    day: date
    origin: Origin
    known_at: datetime
    finished_at: datetime


@dataclass(frozen=True)
class FrozenFile:
    """A file written to be frozen: its path below the ledger's folder and its SHA-256."""

    path: str
    sha256: str


@dataclass(frozen=True)
class NewCampaignRun:
    """Decisions to freeze: one per campaign and send day."""

    campaign: str
    send_day: date
    occurrence: str
    decisions: FrozenFile
    outbox: FrozenFile  # who is to be mailed, with address and context; purged before the decisions are
    counts: Mapping[str, int]  # decisions by reason


@dataclass(frozen=True)
class CampaignRun:
    """Frozen decisions as the ledger holds them."""

    campaign: str
    send_day: date
    occurrence: str
    origin: Origin
    decisions: FrozenFile
    outbox: FrozenFile
    counts: dict[str, int]
    state: str  # frozen | queued
    frozen_at: datetime
    queued_at: datetime | None


@dataclass(frozen=True)
class NewTemplate:
    """Compiled Jinja sources of one campaign, locale and variant."""

    campaign: str
    locale: str
    variant: str
    subject: str
    html: str
    text: str

    @property
    def hash(self) -> str:
        """What messages name it by: the SHA-256 of all of it."""
        parts = [self.campaign, self.locale, self.variant, self.subject, self.html, self.text]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Decisions(Store):
    """The ledger's part about days and campaign runs."""

    def record_day(self, run: Run, known_at: datetime) -> None:
        """Note that `run` is finished with what was known at `known_at`; noting it again changes nothing."""
        row = {"day": run.day, "known_at": known_at, "origin": run.origin.value, "finished_at": self._now()}
        with self._writing() as connection:
            insert_new(connection, day_runs, [row])

    def day_runs(self) -> list[DayRun]:
        """All finished runs in the order in which they must be repeated to rebuild the warehouse."""
        with self._reading() as connection:
            rows = connection.execute(select(day_runs).order_by(day_runs.c.known_at, day_runs.c.day)).all()
        return [DayRun(row.day, Origin(row.origin), row.known_at, row.finished_at) for row in rows]

    def write_frozen(self, name: str, send_day: date, content: "pa.Table | bytes") -> FrozenFile:
        """
        Write a Parquet file beside the ledger, durably, before it is frozen.

        A file is named by its content, so that planning again, or twice at once, never touches a frozen one.
        Raises Retryable when it cannot be written.
        """
        content = content if isinstance(content, bytes) else _parquet(content)
        sha256 = hashlib.sha256(content).hexdigest()
        path = Path("decisions") / send_day.isoformat() / f"{name}.{sha256[:12]}.parquet"
        target = self._settings.ledger_dir / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_durably(target, content)
        except OSError as error:
            raise Retryable(f"{target}: the frozen file cannot be written: {error.strerror}.") from error
        return FrozenFile(str(path), sha256)

    def read_frozen(self, file: FrozenFile) -> "pa.Table":
        """The rows of a frozen file. Raises BadData when it is missing or not what was frozen."""
        import pyarrow.parquet as pq
        from pyarrow import BufferReader

        path = self._settings.ledger_dir / file.path
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise BadData(f"{path}: this frozen file is missing. Put it back from a backup.") from error
        found = hashlib.sha256(content).hexdigest()
        if found != file.sha256:
            raise BadData(
                f"{path}: this frozen file was changed: SHA-256 {found}, frozen as {file.sha256}. "
                "Put it back from a backup."
            )
        return pq.read_table(BufferReader(content))

    def freeze(
        self, runs: Sequence[NewCampaignRun], new_templates: Sequence[NewTemplate], origin: Origin
    ) -> list[CampaignRun]:
        """
        Freeze the decisions of campaign runs and keep their templates, all or none.

        A campaign and send day already frozen stays as it is; what is returned, in the order of `runs`, is what
        the ledger holds.
        """
        now = self._now()
        template_rows = [
            {
                "template_hash": template.hash,
                "campaign": template.campaign,
                "locale": template.locale,
                "variant": template.variant,
                "subject": template.subject,
                "html": template.html,
                "text": template.text,
                "created_at": now,
            }
            for template in new_templates
        ]
        run_rows = [
            {
                "campaign": run.campaign,
                "send_day": run.send_day,
                "occurrence": run.occurrence,
                "origin": origin.value,
                "decisions_file": run.decisions.path,
                "decisions_sha256": run.decisions.sha256,
                "outbox_file": run.outbox.path,
                "outbox_sha256": run.outbox.sha256,
                "counts": dict(run.counts),
                "state": "frozen",
                "frozen_at": now,
            }
            for run in runs
        ]
        with self._writing(newest=True) as connection:
            insert_new(connection, templates, template_rows)
            insert_new(connection, campaign_runs, run_rows)
        frozen = {(run.campaign, run.send_day): run for run in self.campaign_runs()}
        return [frozen[run.campaign, run.send_day] for run in runs]

    def allow_stale_data(self, campaign: str, send_day: date, *, by: str, why: str) -> bool:
        """
        Let a campaign be decided for a send day although its data are not fit; kept in the audit log.

        Decisions frozen for that reason, of which no mail came, are given up, and the next run of the day decides anew:
        returns whether there were such. Raises BadConfig for a campaign that was decided otherwise.
        """
        of_day = (campaign_runs.c.campaign == campaign, campaign_runs.c.send_day == send_day)
        with self._writing(newest=True) as connection:
            frozen = connection.execute(select(campaign_runs.c.counts).where(*of_day)).scalar()
            if frozen is not None and set(frozen) != {"stale_data"}:
                raise BadConfig(
                    f"Campaign {campaign!r} is decided for {send_day}, and not held for its data: {frozen}."
                )
            connection.execute(delete(campaign_runs).where(*of_day))
            self._audit(connection, "allow_stale_data", f"{campaign} {send_day}", by, why=why, decided_anew=frozen)
        return frozen is not None

    def campaign_runs(self, *, campaign: str | None = None, send_day: date | None = None) -> list[CampaignRun]:
        """Frozen runs, oldest first, of one campaign or send day where given."""
        query = select(campaign_runs).order_by(campaign_runs.c.send_day, campaign_runs.c.campaign)
        if campaign is not None:
            query = query.where(campaign_runs.c.campaign == campaign)
        if send_day is not None:
            query = query.where(campaign_runs.c.send_day == send_day)
        with self._reading() as connection:
            return [_campaign_run(row) for row in connection.execute(query)]


def _campaign_run(row: Any) -> CampaignRun:
    return CampaignRun(
        campaign=row.campaign,
        send_day=row.send_day,
        occurrence=row.occurrence,
        origin=Origin(row.origin),
        decisions=FrozenFile(row.decisions_file, row.decisions_sha256),
        outbox=FrozenFile(row.outbox_file, row.outbox_sha256),
        counts=row.counts,
        state=row.state,
        frozen_at=row.frozen_at,
        queued_at=row.queued_at,
    )


def _parquet(table: "pa.Table") -> bytes:
    import pyarrow.parquet as pq
    from pyarrow import BufferOutputStream

    sink = BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _write_durably(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
