"""
The files that people edit: the shipped `include/`, overlaid by a folder of one's own (`PERENNIAL_INCLUDE`).

`rules`, `expectations` and `sql` go file by file: what the overlay has counts, the rest is the shipped one's. `sources`
and `templates` go as a whole: they describe systems and campaigns of a company, so an overlay that has the folder has
all that count; the pieces of `templates/_shared` are still found in the shipped folder where the overlay lacks them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("expectations", "rules", "sources", "sql", "templates")


@dataclass(frozen=True)
class Include:
    """Where each file is read from; `own` may be the shipped folder itself."""

    own: Path
    shipped: Path

    def file(self, *parts: str) -> Path:
        """The file in force; the shipped folder's path where neither has it."""
        own = self.own.joinpath(*parts)
        return own if own.is_file() else self.shipped.joinpath(*parts)

    def files(self, folder: str, pattern: str) -> list[Path]:
        """Every file of `folder` in force that matches the glob `pattern`, in the order of the names."""
        found: dict[Path, Path] = {}
        for root in (self.shipped / folder, self.own / folder):
            found |= {path.relative_to(root): path for path in root.glob(pattern)}
        return [found[name] for name in sorted(found)]

    def whole(self, folder: str) -> Path:
        """The one folder that counts as a whole."""
        own = self.own / folder
        return own if own.is_dir() else self.shipped / folder

    def shared_templates(self) -> tuple[Path, ...]:
        """The folders in which pieces that all campaigns share are looked up, one after the other."""
        return tuple(dict.fromkeys(root / "templates" / "_shared" for root in (self.own, self.shipped)))

    def problems(self) -> Iterator[str]:
        """What in the overlay nothing would read: a misspelt folder or rule book would change nothing, silently."""
        if not self.own.is_dir():
            yield f"{self.own}: no such folder."
            return
        for entry in sorted(self.own.iterdir()):
            if entry.is_dir() and entry.name not in FOLDERS and entry.name[0] not in "._":
                yield f"{entry}: nothing reads this folder. Known folders: {', '.join(FOLDERS)}."
        books = sorted(path.name for path in (self.shipped / "rules").glob("*.yaml"))
        for path in sorted((self.own / "rules").glob("[!.]*")):
            if path.name not in books:
                yield f"{path}: nothing reads this file. Known rule books: {', '.join(books)}."
