"""Files that are put into the inbox folder."""

from collections.abc import Iterator

from perennial.foundation.settings import Settings
from perennial.sources.arrival import Arrival
from perennial.sources.definition import Source


def files_in_inbox(source: Source, settings: Settings) -> Iterator[Arrival]:
    """What lies below the inbox where `path` says, in the order of the names. Hidden files are passed over."""
    for path in sorted(settings.inbox_dir.glob(source.path)):
        if path.is_file() and not path.name.startswith("."):
            yield Arrival.of(path, path.relative_to(settings.inbox_dir).as_posix())
