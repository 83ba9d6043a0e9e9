"""Days that were run, and decisions frozen: campaign runs, their Parquet files, their templates."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

from sqlalchemy import delete, func, select

from perennial.foundation.days import Origin, Run
from perennial.foundation.errors import BadConfig, BadData, Retryable
from perennial.ledger.control import Approval
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
    occurrence: str  # of all its candidates; empty where each has their own
    decisions: FrozenFile
    outbox: FrozenFile  # who is to be mailed, with address and context; purged before the decisions are
    counts: Mapping[str, int]  # decisions by reason
    needs_approval: bool = False


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
    state: str  # frozen | queued | cancelled
    approval: Approval
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

    def row(self, now: datetime) -> dict[str, object]:
        return {**asdict(self), "template_hash": self.hash, "created_at": now}


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

    def planned_until(self, send_day: date) -> date | None:
        """The last send day before `send_day` on which campaigns were decided; None before the first."""
        live = day_runs.c.origin.in_([origin.value for origin in Origin if origin.may_queue])
        with self._reading() as connection:
            decided = connection.scalar(
                select(func.max(campaign_runs.c.send_day)).where(campaign_runs.c.send_day < send_day)
            )
            run = connection.scalar(
                select(func.max(day_runs.c.day)).where(live, day_runs.c.day < send_day - timedelta(days=1))
            )
        found = [decided] if decided else []
        return max([*found, *([run + timedelta(days=1)] if run else [])], default=None)

    def write_frozen(
        self,
        name: str,
        send_day: date,
        content: "pa.Table | bytes | Iterable[pa.RecordBatch]",
        schema: "pa.Schema | None" = None,
    ) -> FrozenFile:
        """
        Write a Parquet file beside the ledger, durably, before it is frozen; batches need their `schema`.

        A file is named by its content, so that planning again, or twice at once, never touches a frozen one.
        Raises Retryable when it cannot be written.
        """
        folder = Path("decisions") / send_day.isoformat()
        target = self._settings.ledger_dir / folder
        temporary = target / f".{name}.{uuid4().hex}"
        try:
            target.mkdir(parents=True, exist_ok=True)
            with temporary.open("x+b") as file:
                _write(file, content, schema)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            path = folder / f"{name}.{sha256[:12]}.parquet"
            temporary.replace(self._settings.ledger_dir / path)
            _sync_folder(target)
        except OSError as error:
            raise Retryable(f"{target}: the frozen {name} cannot be written: {error.strerror}.") from error
        finally:
            temporary.unlink(missing_ok=True)
        return FrozenFile(str(path), sha256)

    def read_frozen(self, file: FrozenFile) -> "pa.Table":
        """The rows of a frozen file. Raises BadData when it is missing or not what was frozen."""
        import pyarrow.parquet as pq

        with self._opened(file) as content:
            return pq.read_table(content)

    def frozen_batches(self, file: FrozenFile, rows: int = 1_000) -> "Iterator[pa.RecordBatch]":
        """The same, so many rows at once."""
        import pyarrow.parquet as pq

        with self._opened(file) as content:
            yield from pq.ParquetFile(content).iter_batches(rows)

    def frozen_rows(self, file: FrozenFile) -> int:
        """How many rows a frozen file has."""
        import pyarrow.parquet as pq

        with self._opened(file) as content:
            return int(pq.ParquetFile(content).metadata.num_rows)

    @contextmanager
    def _opened(self, file: FrozenFile) -> Iterator[BinaryIO]:
        path = self._settings.ledger_dir / file.path
        try:
            opened = path.open("rb")
        except FileNotFoundError as error:
            raise BadData(f"{path}: this frozen file is missing. Put it back from a backup.") from error
        with opened as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
            if found != file.sha256:
                raise BadData(
                    f"{path}: this frozen file was changed: SHA-256 {found}, frozen as {file.sha256}. "
                    "Put it back from a backup."
                )
            content.seek(0)
            yield content

    def freeze(
        self, runs: Sequence[NewCampaignRun], new_templates: Sequence[NewTemplate], origin: Origin
    ) -> list[CampaignRun]:
        """
        Freeze the decisions of campaign runs and keep their templates, all or none.

        A campaign and send day already frozen stays as it is; what is returned, in the order of `runs`, is what
        the ledger holds.
        """
        now = self._now()
        template_rows = [template.row(now) for template in new_templates]
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
                "approval": (Approval.WAITING if run.needs_approval else Approval.NOT_NEEDED).value,
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

    def exchange_decisions(self, run: CampaignRun, file: FrozenFile, *, why: str) -> bool:
        """Let another file of decisions take the place of a run's; False when another has already."""
        which = (
            campaign_runs.c.campaign == run.campaign,
            campaign_runs.c.send_day == run.send_day,
            campaign_runs.c.decisions_sha256 == run.decisions.sha256,
        )
        with self._writing(newest=True) as connection:
            update = campaign_runs.update().where(*which)
            values = {"decisions_file": file.path, "decisions_sha256": file.sha256}
            is_exchanged = connection.execute(update.values(**values)).rowcount > 0
            if is_exchanged:
                subject = f"{run.campaign} {run.send_day}"
                self._audit(
                    connection, "exchange_decisions", subject, "perennial", why=why, before=run.decisions.sha256
                )
        if is_exchanged and file.path != run.decisions.path:
            (self._settings.ledger_dir / run.decisions.path).unlink(missing_ok=True)
        return is_exchanged

    def campaign_runs(self, *, campaign: str | None = None, send_day: date | None = None) -> list[CampaignRun]:
        """Frozen runs, oldest first, of one campaign or send day where given; not those that decide nothing."""
        query = select(campaign_runs).where(campaign_runs.c.decisions_file != "")
        query = query.order_by(campaign_runs.c.send_day, campaign_runs.c.campaign)
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
        approval=Approval(row.approval),
        frozen_at=row.frozen_at,
        queued_at=row.queued_at,
    )


def _write(file: BinaryIO, content: "pa.Table | bytes | Iterable[pa.RecordBatch]", schema: "pa.Schema | None") -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(content, bytes):
        file.write(content)
    elif isinstance(content, pa.Table):
        pq.write_table(content, file, compression="zstd")
    else:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in content:
                writer.write_batch(batch)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
