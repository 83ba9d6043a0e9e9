"""
The landing: source files exactly as taken, and when.

    <landing_dir>/<source>/<version>-<sha256 prefix>-<name>   immutable copies
    <landing_dir>/<source>/manifest.jsonl                     append-only, one line a version

The manifest is the truth: a copy it does not name is taken again, and a line torn by a kill is dropped.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from perennial.foundation.days import current_time
from perennial.foundation.errors import BadData, Retryable
from perennial.foundation.settings import Settings
from perennial.sources.definition import Source

log = logging.getLogger(__name__)

_MANIFEST = "manifest.jsonl"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Landed:
    """One version of one file. `file` is its path below the inbox, `path` the copy's below the landing folder."""

    file: str
    version: int
    sha256: str
    bytes: int
    mtime_ns: int
    landed_at: datetime
    path: str
    duplicate_of: str | None = None


def take(source: Source, settings: Settings) -> list[Landed]:
    """
    Copy what is new in the inbox to the landing; returns the new manifest entries.

    A file whose size and time are those of its newest version is not read; one with the same content is not taken.
    The content of another file is recorded with `duplicate_of` and kept once.
    """
    folder = settings.landing_dir / source.name
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        newest = _newest(_read_manifest(folder, repair=True))
        holder = {entry.sha256: entry.file for entry in newest.values() if entry.duplicate_of is None}
        landed_at = current_time(settings)
        taken: list[Landed] = []
        for path in _arrived(source, settings):
            file = path.relative_to(settings.inbox_dir).as_posix()
            before = newest.get(file)
            try:
                copied = _copy(path, folder, before)
            except OSError as error:
                raise Retryable(f"Source {source.name}: {path} cannot be copied to {folder}: {error}") from error
            if copied is None:
                continue
            copy, sha256, found = copied
            version = before.version + 1 if before else 1
            original = holder.get(sha256)
            if original and original != file and newest[original].sha256 == sha256:
                copy.unlink()
                kept = newest[original].path
            else:
                holder[sha256], original = file, None
                kept = f"{source.name}/{version}-{sha256[:12]}-{path.name[-100:]}"
                copy.rename(settings.landing_dir / kept)
            entry = Landed(file, version, sha256, found.st_size, found.st_mtime_ns, landed_at, kept, original)
            newest[file] = entry
            taken.append(entry)
        _append(folder, taken)
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


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two copies of the same task wait for each other instead of recording a file twice."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _arrived(source: Source, settings: Settings) -> list[Path]:
    return sorted(
        path for path in settings.inbox_dir.glob(source.path) if path.is_file() and not path.name.startswith(".")
    )


def _newest(entries: Iterable[Landed]) -> dict[str, Landed]:
    return {entry.file: entry for entry in entries}


def _copy(path: Path, folder: Path, before: Landed | None) -> tuple[Path, str, os.stat_result] | None:
    """Copy one file beside its future place: (copy, sha256, stat). None if it is not new, gone or being written."""
    copy = folder / ".taking"
    try:
        found = path.stat()
        if before and (found.st_size, found.st_mtime_ns) == (before.bytes, before.mtime_ns):
            return None
        digest = hashlib.sha256()
        with path.open("rb") as reading, copy.open("wb") as writing:
            while chunk := reading.read(_CHUNK):
                digest.update(chunk)
                writing.write(chunk)
            writing.flush()
            os.fsync(writing.fileno())
        after = path.stat()
    except FileNotFoundError:
        return None
    if (after.st_size, after.st_mtime_ns) != (found.st_size, found.st_mtime_ns):
        log.warning("%s: still being written; it is taken when it is complete.", path)
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
    entries = []
    for number, line in enumerate(content[:whole].decode().splitlines(), start=1):
        try:
            fields = json.loads(line)
            entries.append(Landed(**fields | {"landed_at": datetime.fromisoformat(fields["landed_at"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise BadData(
                f"{path}: line {number} is damaged ({error}). Restore the landing from its backup."
            ) from error
    return entries
