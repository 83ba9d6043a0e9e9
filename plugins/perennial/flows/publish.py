"""
What people and BI tools read: `marts` and `core.orders` as a snapshot, with a data dictionary and a report.

A publication is a folder `published/<day>-<content id>/` that is never written again; `published/latest` names the
newest. It is written under another name first, so a kill leaves the old one whole, and whoever reads the old one goes
on reading it.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from perennial.campaigns.definition import load_campaigns
from perennial.flows.day_order import close_day, is_outdated
from perennial.flows.mirror import mirror_ledger
from perennial.flows.tables import build_schema, open_tables
from perennial.foundation.days import Run, current_time
from perennial.foundation.errors import Retryable
from perennial.foundation.settings import Settings
from perennial.metrics.dictionary import ColumnEntry, TableEntry, render_dictionary, render_dictionary_markdown
from perennial.metrics.report import QUERIES, About, render_report
from perennial.segments.definitions import load_segments
from perennial.segments.rfm import load_rfm_map
from perennial.warehouse import Model, Warehouse
from perennial.warehouse.snapshot import SnapshotTable, TableContent, open_snapshot, publish_schema, write_snapshot

log = logging.getLogger(__name__)

LATEST, MANIFEST = "latest", "manifest.json"
KEPT = 3  # publications; a reader of an older one has had days to finish
_ALSO_PUBLIC = ("core.orders",)

# What `explain` and the report read beyond the public tables. No personal data.
_INTERNAL = {
    "internal.tier_levels": """
        select tiers.place, tiers.tier, tiers.from_points, books.qualifying_days
        from rules.tiers as tiers cross join rules.loyalty as books
        order by tiers.place
    """,
    "internal.tiers": """
        select customer_id, tier, qualifying_points, next_tier, points_to_next_tier
        from loyalty.tiers order by customer_id
    """,
    "internal.points": """
        select
            entries.customer_id, entries.rule, count(*) as entries,
            cast(sum(entries.points) as bigint) as points,
            cast(sum(
                case when entries.rule <> 'redeemed'
                    and date_diff('day', entries.day, $day) < books.qualifying_days then entries.points else 0 end
            ) as bigint) as qualifying_points,
            min(entries.day) as first_day, max(entries.day) as last_day
        from loyalty.points_entries as entries cross join rules.loyalty as books
        where entries.day <= $day
        group by entries.customer_id, entries.rule
        order by entries.customer_id, entries.rule
    """,
    "internal.churn": """
        select
            scores.customer_id, scores.churn_risk, scores.churn_probability, scores.gaps, scores.silent_days,
            scores.expected_gap_days, scores.overdue, books.medium_at, books.high_at
        from churn.scores as scores cross join rules.churn as books
        order by scores.customer_id
    """,
    "internal.membership": """
        select membership.segment, membership.customer_id, max(changes.day) as since_day
        from segments.membership as membership
        left join segments.membership_changes as changes
            on membership.segment = changes.segment and membership.customer_id = changes.customer_id
            and changes.change = 'entered' and changes.day <= $day
        group by membership.segment, membership.customer_id
        order by membership.customer_id, membership.segment
    """,
    "internal.refusals": """
        select source, reasons as why, cast(null as text) as file, count(*) as rows
        from quarantine.rows
        where day = $day
        group by source, reasons
        union all
        select source, reason as why, file, rows
        from raw.files
        where day = $day and status in ('refused', 'held')
        order by source, rows desc, why, file
    """,
    "internal.decisions": """
        select campaign, send_day, customer_id, arm, variant, reason
        from campaigns.decisions order by campaign, send_day, customer_id
    """,
}

_TEXT, _WHOLE = pa.string(), pa.int64()
_SEGMENTS = pa.schema({"place": _WHOLE, "segment": _TEXT, "title": _TEXT, "description": _TEXT, "rule": _TEXT})
_CAMPAIGNS = pa.schema({"campaign": _TEXT, "title": _TEXT, "goal_days": _WHOLE})
_RFM_MAP = pa.schema({"place": _WHOLE, "segment": _TEXT, "code": _TEXT})


def publish(run: Run, settings: Settings) -> dict[str, object]:
    """
    Build `marts` as of the end of the run's day, publish it, and note in the ledger that the day is done.

    A day older than the warehouse's newest publishes nothing and is not noted; publishing the same state again
    changes nothing.
    Returns the publication's folder name, whether it is new, and the rows of its tables. Raises Retryable when the
    disk does not take it.
    """
    with open_tables(run, settings) as (warehouse, materializer):
        if is_outdated(run, warehouse):
            return {"day": run.day.isoformat(), "published": None, "is_new": False}
        mirror_ledger(warehouse, settings)
        build_schema("marts", materializer)
        try:
            figures = write(warehouse, materializer.models, run, settings)
        except OSError as error:
            raise Retryable(
                f"{settings.published_dir}: the publication cannot be written: {error.strerror}. "
                "The last one is still there. Free disk space, or make the folder writable."
            ) from error
        close_day(run, warehouse, settings)
    return {"day": run.day.isoformat(), **figures}


def write(warehouse: Warehouse, models: Mapping[str, Model], run: Run, settings: Settings) -> dict[str, object]:
    """
    Publish the tables as they are below `settings.published_dir`; needs neither ledger nor landing.

    Returns the publication's folder name, whether it is new, and the rows of its tables.
    """
    home = settings.published_dir
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f".draft-{uuid4().hex}"
    draft.mkdir()
    try:
        tables = _tables(models, run, settings)
        contents = write_snapshot(warehouse, draft, tables)
        _write_pages(draft, models, contents, run, settings)
        name = f"{run.day}-{_content_id(draft, contents)}"
        manifest = {
            "day": run.day.isoformat(),
            "published_at": current_time(settings).isoformat(timespec="seconds"),
            "currency": settings.currency,
            "tables": {table: {"rows": found.rows, "checksum": found.checksum} for table, found in contents.items()},
        }
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        is_new = not (home / name).exists()
        if is_new:
            _make_durable(draft)
            draft.rename(home / name)
        if warehouse.is_shared:
            publish_schema(warehouse, tables)
        _point_latest_to(home, name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _remove_old(home, name)
    log.info("%s: %s.", home / name, "published" if is_new else "published before, unchanged")
    rows = {table: found.rows for table, found in contents.items() if not table.startswith("internal.")}
    return {"published": name, "is_new": is_new, "tables": rows}


def _public(models: Mapping[str, Model]) -> list[Model]:
    return [models[table] for table in _ALSO_PUBLIC] + [model for model in models.values() if model.schema == "marts"]


def _tables(models: Mapping[str, Model], run: Run, settings: Settings) -> list[SnapshotTable]:
    public = [
        SnapshotTable(
            model.table,
            f"select {', '.join(model.columns)} from {model.table} order by {', '.join(model.grain)}",
            model.sentence,
            model.columns,
            is_public=True,
        )
        for model in _public(models)
    ]
    internal = [
        SnapshotTable(table, sql.replace("$day", f"date '{run.day}'"), "For `perennial explain` and the report.")
        for table, sql in _INTERNAL.items()
    ]
    segments = [
        {
            "place": place,
            "segment": segment.name,
            "title": segment.title,
            "description": segment.description,
            "rule": segment.condition.text,
        }
        for place, segment in enumerate(load_segments(settings), start=1)
    ]
    campaigns = [
        {"campaign": campaign.id, "title": campaign.file.name, "goal_days": campaign.file.goal.within_days}
        for campaign in load_campaigns(settings)
    ]
    rfm = [
        {"place": place, "segment": name, "code": str(code)}
        for place, (name, codes) in enumerate(load_rfm_map(settings).segments.items(), start=1)
        for code in codes
    ]
    return [
        *public,
        *internal,
        SnapshotTable("internal.segments", pa.Table.from_pylist(segments, _SEGMENTS), "The segments and their rules."),
        SnapshotTable("internal.campaigns", pa.Table.from_pylist(campaigns, _CAMPAIGNS), "The campaigns there are."),
        SnapshotTable("internal.rfm_map", pa.Table.from_pylist(rfm, _RFM_MAP), "The name of each RFM code."),
    ]


def _write_pages(
    draft: Path, models: Mapping[str, Model], contents: Mapping[str, TableContent], run: Run, settings: Settings
) -> None:
    tables = [
        TableEntry(
            model.table,
            model.sentence,
            model.grain,
            tuple(
                ColumnEntry(name, contents[model.table].columns[name], documentation)
                for name, documentation in model.columns.items()
            ),
        )
        for model in _public(models)
    ]
    with open_snapshot(draft, settings) as snapshot:
        results = {name: snapshot.query(sql) for name, sql in QUERIES.items()}
    names = {"shop_name": settings.shop_name, "currency": settings.currency}
    pages = {
        "report.html": render_report(results, About(run.day, **names)),
        "dictionary.html": render_dictionary(tables, **names),
        "dictionary.md": render_dictionary_markdown(tables, **names),
    }
    for file, text in pages.items():
        (draft / file).write_text(text, encoding="utf-8")


def _content_id(draft: Path, contents: Mapping[str, TableContent]) -> str:
    """Changes with what the tables hold and the pages say, and with nothing else."""
    digest = hashlib.sha256(repr(sorted(contents.items())).encode())
    for page in ("report.html", "dictionary.md", "dictionary.html"):
        digest.update((draft / page).read_bytes())
    return digest.hexdigest()[:12]


def _make_durable(draft: Path) -> None:
    """Everything on the disk before the folder gets its name; and nobody writes to it again."""
    for path in [*draft.iterdir(), draft]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if path.is_file():
            path.chmod(0o444)


def _point_latest_to(home: Path, name: str) -> None:
    link = home / LATEST
    if link.is_symlink() and link.readlink() == Path(name):
        return
    new = home / f".{LATEST}-{uuid4().hex}"
    new.symlink_to(name, target_is_directory=True)
    new.replace(link)


def _remove_old(home: Path, newest: str) -> None:
    """Keep the last publications; drafts and links that a kill left go too (we hold the writer lock)."""
    for path in home.glob(".*"):
        if path.name.startswith(".draft-"):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(f".{LATEST}-"):
            path.unlink(missing_ok=True)
    old = sorted(
        (path for path in home.iterdir() if path.is_dir() and not path.is_symlink() and path.name != newest),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in old[KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)
