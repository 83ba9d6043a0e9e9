"""
The landing: source files exactly as taken, and when.

    <landing_dir>/<source>/<version>-<sha256 prefix>-<name>   immutable copies
    <landing_dir>/<source>/manifest.jsonl                     append-only, one line a version

The manifest is the truth: a copy it does not name is taken again, and a line torn by a kill is dropped. When a copy is
old, one without personal data takes its place, by a second line.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from perennial.foundation.days import current_time
from perennial.foundation.errors import BadData, Retryable
from perennial.foundation.settings import Settings
from perennial.sources.arrival import Arrival, Landed, Stamp
from perennial.sources.database import rows_of_database
from perennial.sources.definition import Source
from perennial.sources.inbox import files_in_inbox
from perennial.sources.object_store import files_at_url
from perennial.sources.woocommerce import pages_of_shop

log = logging.getLogger(__name__)

_MANIFEST = "manifest.jsonl"
_CHUNK = 1 << 20
_NOTED_TOGETHER = 50  # copies, as many as a kill makes be taken again


def take(source: Source, settings: Settings) -> list[Landed]:
    """
    Copy what is new at the source's place to the landing; returns the new manifest entries.

    A file whose size and time are those of its newest version is not read; one with the same content is not taken.
    The content of another file is recorded with `duplicate_of` and kept once. Raises Retryable when the place or the
    disk fails: what was taken until then is kept, and the rest is for the next time.
    """
    folder = settings.landing_dir / source.name
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        newest = _newest(_read_manifest(folder, repair=True))
        holder = {entry.sha256: entry.file for entry in newest.values() if entry.duplicate_of is None}
        landed_at = current_time(settings)
        taken: list[Landed] = []
        noted = 0
        try:
            for arrival in _arrived(source, newest, settings):
                before = newest.get(arrival.file)
                copied = _copy(arrival, folder, before, source)
                if copied is None:
                    continue
                copy, sha256, stamp = copied
                version = before.version + 1 if before else 1
                original = holder.get(sha256)
                if original and original != arrival.file and newest[original].sha256 == sha256:
                    copy.unlink()
                    kept = newest[original].path
                else:
                    holder[sha256], original = arrival.file, None
                    kept = f"{source.name}/{version}-{sha256[:12]}-{arrival.file.rpartition('/')[2][-100:]}"
                    copy.rename(settings.landing_dir / kept)
                entry = Landed(
                    arrival.file,
                    version,
                    sha256,
                    stamp.bytes,
                    stamp.mtime_ns,
                    landed_at,
                    kept,
                    original,
                    stamp.etag,
                    newest[original].personal_rows if original else None,
                    newest[original].is_whole if original else False,
                )
                newest[arrival.file] = entry
                taken.append(entry)
                if len(taken) == noted + _NOTED_TOGETHER:
                    _append(folder, taken[noted:])
                    noted = len(taken)
        finally:
            _append(folder, taken[noted:])
    return taken


def landed(source_name: str, settings: Settings) -> list[Landed]:
    """Every manifest entry of a source, oldest first. Raises BadData for a damaged manifest."""
    return _read_manifest(settings.landing_dir / source_name, repair=False)


def superseded_duplicates(entries: Iterable[Landed]) -> set[tuple[str, int]]:
    """(file, version) of duplicates whose original has changed since, so that they now hold the content alone."""
    known = list(entries)
    newest = _newest(known)
    return {
        (entry.file, entry.version)
        for entry in known
        if entry.duplicate_of and newest[entry.duplicate_of].sha256 != entry.sha256
    }


def replace_copies(replaced: Iterable[Landed], source_name: str, settings: Settings) -> None:
    """
    Let the copies that these entries name take the place of those they had, which are removed.

    An original that is named no more because a kill came in between is removed by the next call.
    """
    folder = settings.landing_dir / source_name
    with _only_one(folder):
        _append(folder, list(replaced))
        named = {settings.landing_dir / entry.path for entry in _read_manifest(folder, repair=True)}
        for copy in folder.iterdir():
            if copy not in named and copy.name != _MANIFEST and not copy.name.startswith("."):
                copy.unlink()


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two copies of the same task wait for each other instead of recording a file twice."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _arrived(source: Source, newest: Mapping[str, Landed], settings: Settings) -> Iterator[Arrival]:
    if source.database:
        return rows_of_database(source, source.database, newest, settings)
    if source.woocommerce:
        as_they_came = {
            file: settings.landing_dir / entry.path if entry.personal_rows is None else None
            for file, entry in newest.items()
        }
        return pages_of_shop(source, source.woocommerce, as_they_came, settings)
    return files_at_url(source) if source.url else files_in_inbox(source, settings)


def _newest(entries: Iterable[Landed]) -> dict[str, Landed]:
    return {entry.file: entry for entry in entries}


def _copy(arrival: Arrival, folder: Path, before: Landed | None, source: Source) -> tuple[Path, str, Stamp] | None:
    """Copy one file beside its future place: (copy, sha256, stamp). None if it is not new, gone or being written."""
    copy = folder / ".taking"
    try:
        found = arrival.stamp()
        if before and found.is_telling and found == before.stamp:
            return None
        digest = hashlib.sha256()
        with arrival.open() as reading, copy.open("wb") as writing:
            while chunk := reading.read(_CHUNK):
                digest.update(chunk)
                writing.write(chunk)
            writing.flush()
            os.fsync(writing.fileno())
            size = writing.tell()
        after = arrival.stamp()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Retryable(f"Source {source.name}: {arrival.file} cannot be copied to {folder}: {error}") from error
    if after != found or size != found.bytes:
        log.warning("%s: still being written; it is taken when it is complete.", arrival.file)
        return None
    if before and before.sha256 == digest.hexdigest():
        return None
    return copy, digest.hexdigest(), found


def _append(folder: Path, entries: list[Landed]) -> None:
    if not entries:
        return
    _sync_folder(folder)  # the copies' names, before the manifest promises them
    lines = "".join(
        json.dumps(asdict(entry) | {"landed_at": entry.landed_at.isoformat()}, ensure_ascii=False) + "\n"
        for entry in entries
    )
    with (folder / _MANIFEST).open("ab") as manifest:
        manifest.write(lines.encode())
        manifest.flush()
        os.fsync(manifest.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_manifest(folder: Path, *, repair: bool) -> list[Landed]:
    path = folder / _MANIFEST
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content) and repair:
        log.warning("%s: dropping a last line torn by a kill; its file is taken again.", path)
        os.truncate(path, whole)
    entries: dict[tuple[str, int], Landed] = {}
    for number, line in enumerate(content[:whole].decode().splitlines(), start=1):
        try:
            fields = json.loads(line)
            entry = Landed(**fields | {"landed_at": datetime.fromisoformat(fields["landed_at"])})
        except (ValueError, TypeError, KeyError) as error:
            raise BadData(
                f"{path}: line {number} is damaged ({error}). Restore the landing from its backup."
            ) from error
        entries[entry.file, entry.version] = entry  # a later line takes the place of the first
    return list(entries.values())
