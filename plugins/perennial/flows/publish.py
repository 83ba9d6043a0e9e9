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
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

from perennial.contracts import load_contracts
from perennial.flows.day_order import close_day, is_outdated
from perennial.flows.mirror import mirror_ledger
from perennial.flows.publications import KEPT, LATEST, MANIFEST, PAGES, latest
from perennial.flows.published_tables import public_models, published_tables
from perennial.flows.tables import build_schema, open_tables
from perennial.foundation.days import Run, current_time
from perennial.foundation.errors import Retryable
from perennial.foundation.settings import Settings
from perennial.metrics import quality
from perennial.metrics.dictionary import ColumnEntry, TableEntry, render_dictionary, render_dictionary_markdown
from perennial.metrics.report import QUERIES, About, render_report
from perennial.sources import source_names
from perennial.warehouse import Model, Warehouse
from perennial.warehouse.snapshot import (
    Previous,
    SnapshotTable,
    TableContent,
    fingerprint,
    open_snapshot,
    publish_schema,
    write_snapshot,
)

log = logging.getLogger(__name__)


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
        tables = published_tables(models, run, settings)
        previous = _previous(warehouse, home, tables)
        contents = write_snapshot(warehouse, draft, tables, previous)
        _write_pages(draft, warehouse, models, contents, run, settings)
        name = f"{run.day}-{_content_id(draft, tables, contents)}"
        manifest = {
            "day": run.day.isoformat(),
            "published_at": current_time(settings).isoformat(timespec="seconds"),
            "currency": settings.currency,
            "tables": {table: asdict(found) for table, found in contents.items()},
        }
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        is_new = not (home / name).exists()
        if is_new:
            _make_durable(draft)
            draft.rename(home / name)
        if warehouse.is_shared:
            publish_schema(warehouse, tables, previous.changed_days if previous else None)
        _point_latest_to(home, name)
        _remember(warehouse, name, tables)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _remove_old(home, name)
    log.info("%s: %s.", home / name, "published" if is_new else "published before, unchanged")
    rows = {table: found.rows for table, found in contents.items() if not table.startswith("internal.")}
    return {"published": name, "is_new": is_new, "tables": rows}


def _previous(warehouse: Warehouse, home: Path, tables: Sequence[SnapshotTable]) -> Previous | None:
    """The latest publication, where it is the last that this warehouse wrote, and of the same tables."""
    warehouse.create("state.publication", {"name": "text", "fingerprint": "text"})
    known = warehouse.value("select fingerprint from state.publication where name = $name", name=latest(home) or "")
    if known != fingerprint(tables):
        return None
    folder = home / LATEST
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    contents = {name: TableContent(**told) for name, told in manifest["tables"].items()}
    days = warehouse.query("select day from state.unpublished")["day"].to_pylist()
    return Previous(folder, contents, date.fromisoformat(manifest["day"]), frozenset(days))


def _remember(warehouse: Warehouse, name: str, tables: Sequence[SnapshotTable]) -> None:
    with warehouse.transaction():
        warehouse.execute("delete from state.publication")
        warehouse.execute("insert into state.publication values ($name, $print)", name=name, print=fingerprint(tables))
        warehouse.execute("delete from state.unpublished")


def _write_pages(
    draft: Path,
    warehouse: Warehouse,
    models: Mapping[str, Model],
    contents: Mapping[str, TableContent],
    run: Run,
    settings: Settings,
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
        for model in public_models(models)
    ]
    with open_snapshot(draft, settings) as snapshot:
        results = {name: snapshot.query(sql) for name, sql in QUERIES.items()}
    names = {"shop_name": settings.shop_name, "currency": settings.currency}
    about = About(run.day, **names)
    pages = {
        "report.html": render_report(results, about),
        "quality.html": quality_page(warehouse, about, settings),
        "dictionary.html": render_dictionary(tables, **names),
        "dictionary.md": render_dictionary_markdown(tables, **names),
    }
    for file, text in pages.items():
        (draft / file).write_text(text, encoding="utf-8")


def quality_page(warehouse: Warehouse, about: About, settings: Settings) -> str:
    """The page of data quality, of what the warehouse knows of the day and those before it."""
    days = {"day": about.day, "since": about.day - timedelta(days=quality.HISTORY - 1)}
    tables = {
        name: warehouse.query(sql, **{day: days[day] for day in days if f"${day}" in sql})
        for name, sql in quality.QUERIES.items()
    }
    return quality.render_quality(tables, source_names(settings), load_contracts(settings), about)


def _content_id(draft: Path, tables: Sequence[SnapshotTable], contents: Mapping[str, TableContent]) -> str:
    """Changes with what the tables hold, how they are laid out and what the pages say, and with nothing else."""
    digest = hashlib.sha256(repr([fingerprint(tables), *sorted(contents.items())]).encode())
    for page in (*PAGES, "dictionary.md"):
        digest.update((draft / page).read_bytes())
    return digest.hexdigest()[:12]


def _make_durable(draft: Path) -> None:
    """Everything on the disk before the folder gets its name; and nobody writes to it again."""
    for path in [*draft.rglob("*"), draft]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if path.is_file():
            path.chmod(0o444)


def _point_latest_to(home: Path, name: str) -> None:
    link = home / LATEST
    if latest(home) == name:
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
