"""What columns a file has, and whether that is enough for its contract."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from perennial.foundation.errors import BadData
from perennial.sources.definition import Source
from perennial.sources.text import lines_of

_LONGEST_HEADER_LINES = 100


@dataclass(frozen=True)
class Readable:
    """
    A landed file ready to be read: `number` within the batch, plain UTF-8 (or Parquet) at `path`.

    `ended` is a copy of a CSV file that ends in a line of ours (see `reading.with_last_lines`).
    """

    number: int
    name: str
    path: Path
    header: tuple[str, ...]
    ended: Path | None = None

    @property
    def scanned(self) -> str:
        """What DuckDB reads."""
        return str(self.ended or self.path)


def delimiter_of(source: Source) -> str:
    """What is between the fields of a file that `readable_csv` gives."""
    return "\t" if source.delimiter == "whitespace" else source.delimiter


def readable_csv(source: Source, path: Path, name: str, number: int, folder: Path) -> Readable:
    """A CSV file of plain UTF-8, maybe written anew below `folder`. Raises BadData for one without a header."""
    if source.delimiter == "whitespace":
        path = _tabs_for_whitespace(path, folder / f"{number}.tabs")
    header, blank_lines = _csv_header(source, path, name, delimiter_of(source))
    if blank_lines:
        path = _from_line(blank_lines, path, folder / f"{number}.begun")
    return Readable(number, name, path, unique_names(header))


def _from_line(number: int, path: Path, target: Path) -> Path:
    """The file without its first lines. DuckDB would skip them too, but nothing is left if their ends are others."""
    with target.open("w", encoding="utf-8", newline="") as writing:
        writing.writelines(islice(lines_of(path), number, None))
    return target


def _tabs_for_whitespace(path: Path, target: Path) -> Path:
    with target.open("w", encoding="utf-8") as writing:
        writing.writelines("\t".join(line.split()) + "\n" for line in lines_of(path))
    return target


def _csv_header(source: Source, path: Path, name: str, delimiter: str) -> tuple[tuple[str, ...], int]:
    """The column names of a CSV file and how many blank lines precede them. Raises BadData for an empty file."""
    if path.stat().st_size == 0:
        raise BadData(f"Source {source.name}, file {name}: is empty, without even a header. Deliver it whole.")
    if source.header:
        return source.header, 0
    lines = list(islice(lines_of(path), _LONGEST_HEADER_LINES))
    skip = next((number for number, line in enumerate(lines) if line.strip()), None)
    if skip is None:
        raise BadData(f"Source {source.name}, file {name}: has no header, only blank lines.")
    try:
        fields = next(csv.reader(lines[skip:], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise BadData(
            f"Source {source.name}, file {name}: its header line is not readable as CSV ({error})."
        ) from error
    return unique_names(fields), skip


def unique_names(fields: Iterable[str]) -> tuple[str, ...]:
    """Header fields stripped; a blank one becomes column_<n>, a repeated one (case aside) <name>_<n>."""
    names: dict[str, str] = {}
    for number, text in enumerate(fields, start=1):
        name = text.strip() or f"column_{number}"
        while name.lower() in names or name.lower() in ("__file", "__row", "__path"):
            name = f"{name}_{number}"
        names[name.lower()] = name
    return tuple(names.values())


def check_header(source: Source, name: str, header: tuple[str, ...]) -> None:
    """
    Raise BadData if a file lacks a source column that a required contract column needs.

    A first line with few of the columns we know may be a row, of a person, one of whose values is called like a column:
    it is not repeated.
    """
    is_header = _is_header(source, header)
    problems = list(_required_but_missing(source, header, guess=is_header))
    if problems:
        found = (
            f"has the columns: {', '.join(header)}" if is_header else "has few or none of the columns of the mapping"
        )
        raise BadData(
            f"Source {source.name}, file {name}: {'; '.join(problems)}. The file {found}. Nothing of it was loaded; "
            f"correct the file or the mapping in sources/{source.name}.yaml."
        )


def _is_header(source: Source, header: tuple[str, ...]) -> bool:
    reading = [mapping for mapping in source.columns.values() if mapping.names]
    return 2 * sum(not mapping.missing_from(header) for mapping in reading) >= len(reading)


def _required_but_missing(source: Source, header: tuple[str, ...], *, guess: bool) -> Iterator[str]:
    for column in source.contract.required:
        missing = source.columns[column].missing_from(header)
        if missing:
            names = " or ".join(repr(name) for name in missing)
            others = unknown_columns(source, header) if guess else []
            alike = [other for name in missing for other in get_close_matches(name, others, n=1)]
            yield f"column {names} is missing, from which {column} is read" + (
                f" (it has {alike[0]!r})" if alike else ""
            )


def optional_but_missing(source: Source, header: tuple[str, ...]) -> list[str]:
    """The mapped, optional contract columns that a file with this header leaves empty."""
    optional = source.columns | ({"deleted": source.deleted} if source.deleted else {})
    return [column for column, mapping in optional.items() if mapping.missing_from(header)]


def unknown_columns(source: Source, header: tuple[str, ...]) -> list[str]:
    """The columns of a file that the mapping does not use."""
    used = {name.lower() for name in source.names_read}
    return [name for name in header if name.lower() not in used]
