"""The folder of publications, for whoever writes or serves them: nothing is imported here that costs time."""

from datetime import date
from pathlib import Path

LATEST, MANIFEST = "latest", "manifest.json"
KEPT = 3  # publications; a reader of an older one has had days to finish
PAGES = ("report.html", "quality.html", "dictionary.html")  # each links to the others


def latest(home: Path) -> str | None:
    """The name of the newest publication below `home`; None where nothing is published."""
    link = home / LATEST
    return link.readlink().name if link.is_symlink() and link.exists() else None


def day_of(name: str) -> date:
    """The day that a publication is about, by its name."""
    return date.fromisoformat(name[:10])


def publication_of(day: date, home: Path) -> Path | None:
    """The newest publication of `day` below `home`, if it is still kept."""
    newest = latest(home)
    if newest and day_of(newest) == day:
        return home / newest
    return max(home.glob(f"{day}-*"), key=lambda folder: folder.stat().st_mtime, default=None)
