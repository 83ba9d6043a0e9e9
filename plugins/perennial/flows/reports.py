"""What mail servers tell us, in a bounce mailbox or at their door, comes in here, into the ledger."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

from perennial.campaigns.contact_policy import load_contact_policy
from perennial.delivery.reports import MAX_BYTES, Report, read_report
from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import EventKind, Ledger, NewEvent, ReadReport, is_gone, open_ledger

log = logging.getLogger(__name__)

_REPORTS_AT_ONCE = 100


def collect_reports(settings: Settings) -> dict[str, int]:
    """
    Take in what mail servers told: reports in the bounce mailbox, and refusals at the door; then let addresses rest.

    Files stay where they are; one is read once, known by its content. Returns reports by what became of them, if any:
    `recorded`, `ignored` (it asks nothing of us), `unmatched` (about no message in the ledger), `no_report` (some other
    mail); then new `refusals` and `resting` addresses. Killed anywhere and run again, it goes on.

    Raises BadConfig for a mailbox that is no folder.
    """
    policy = load_contact_policy(settings).soft_bounces
    with open_ledger(settings) as ledger:
        figures = Counter(_read_mailbox(ledger, settings))
        figures["refusals"] = ledger.note_refusals()
        figures["resting"] = ledger.rest_soft_bounced(**policy.model_dump())
    if figures["no_report"] or figures["unmatched"]:
        log.warning(
            "Bounce mailbox: %d mail(s) are no reports and %d are about no message of ours; they were left there.",
            figures["no_report"],
            figures["unmatched"],
        )
    return dict(figures)


def _read_mailbox(ledger: Ledger, settings: Settings) -> Counter[str]:
    taken: Counter[str] = Counter()
    folder = settings.bounce_mailbox
    if folder is None:
        return taken
    if not folder.is_dir():
        raise BadConfig(f"PERENNIAL_BOUNCE_MAILBOX: {folder} is not a folder.")
    now = current_time(settings)
    mails = _mails(folder)
    while paths := list(islice(mails, _REPORTS_AT_ONCE)):
        contents = {}
        for path in paths:
            try:
                with path.open("rb") as file:
                    content = file.read(MAX_BYTES)
            except FileNotFoundError:  # moved by a mail program; the next time
                continue
            contents[hashlib.sha256(content).hexdigest()] = content
        unread = ledger.unread_reports(list(contents))
        taken += ledger.take_reports(
            _judged(digest, read_report(content), now) for digest, content in contents.items() if digest in unread
        )
    return taken


def _mails(folder: Path) -> Iterator[Path]:
    """The mails of a Maildir, or the .eml files of a folder; neither links nor what is no file."""
    parts = [folder / name for name in ("new", "cur") if (folder / name).is_dir()]
    for part in parts or [folder]:
        for entry in sorted(os.scandir(part), key=lambda entry: entry.name):
            if entry.is_file(follow_symlinks=False) and (parts or entry.name.endswith(".eml")):
                yield Path(entry.path)


def _judged(digest: str, report: Report | None, now: datetime) -> ReadReport:
    """What a report means to the ledger."""
    if report is None:
        return ReadReport(digest, "no_report")
    if report.meaning == "nothing":
        return ReadReport(digest, "ignored")
    if report.message_id is None:
        return ReadReport(digest, "unmatched")
    kind = {
        "failed": EventKind.BOUNCED if is_gone(report.status) else EventKind.SOFT_BOUNCED,
        "delayed": EventKind.DEFERRED,
        "delivered": EventKind.DELIVERED,
        "complaint": EventKind.COMPLAINED,
    }[report.meaning]
    event = NewEvent(
        event_id=f"{report.format}:{kind}:{report.message_id}",  # told again, it is the same
        message_id=report.message_id,
        kind=kind,
        occurred_at=min(report.occurred_at or now, now),
        provider=report.format,
        details={"status": report.status} if report.status else {},
    )
    return ReadReport(digest, "recorded", event)
