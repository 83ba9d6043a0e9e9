"""
Files below the inbox as tables of a database in memory, for the query of a source that joins them.

The query finds these tables and nothing else: no file, no network, no setting that it could change. Their columns are
text, and their `rowid` is the order of the rows: by the files' names, and in a file as they stand.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from perennial.foundation.errors import BadConfig, BadData, Retryable
from perennial.foundation.settings import Settings
from perennial.sources.definition import Database, Source, literal, quoted
from perennial.sources.header import Readable, delimiter_of, readable_csv
from perennial.sources.reading import Group, prepare, read_csv_files, row_number
from perennial.sources.scratch import Scratch, open_scratch
from perennial.sources.text import decompress, plain_text


def stamp_of_files(source: Source, database: Database, settings: Settings) -> str | None:
    """
    By what a change of the files, or of how they are joined, is seen without reading them; None while there are none.

    Raises Retryable while some tables have files and others have none: then not all has been put there yet.
    """
    found = _files(database, settings)
    if not any(found.values()):
        return None
    if missing := [f"{name} ({database.files[name]})" for name, paths in found.items() if not paths]:
        raise Retryable(
            f"Source {source.name}: the inbox has no file for {', '.join(missing)}, which the query in {source.file} "
            "joins. Nothing was taken; it is when all are there."
        )
    try:
        stamps = [
            (str(path), path.stat().st_size, path.stat().st_mtime_ns) for paths in found.values() for path in paths
        ]
    except OSError as error:
        raise Retryable(f"Source {source.name}: its files cannot be read: {error}") from error
    return hashlib.sha256(repr((database, source.delimiter, source.encodings, stamps)).encode()).hexdigest()


@contextmanager
def connect_to_files(source: Source, database: Database, settings: Settings) -> Iterator[Connection]:
    """
    A connection to the tables. The caller holds the source's landing.

    Raises BadData for a file that cannot be read whole: a join must not lack a line unseen.
    """
    found = _files(database, settings)
    with open_scratch(source.timezone, settings, settings.landing_dir / source.name / ".joining") as scratch:
        try:
            files = [
                (name, _readable(source, path, number, scratch, settings))
                for number, (name, path) in enumerate((name, path) for name, paths in found.items() for path in paths)
            ]
        except OSError as error:
            raise Retryable(f"Source {source.name}: its files cannot be read: {error}") from error
        scratch.connection.execute("set threads = 1")  # the same files make the same rows in the same order
        _make_tables(scratch, source, files)
        scratch.connection.execute(f"set global timezone = {literal(source.timezone)}")
        scratch.close_to_the_outside()
        engine = create_engine(
            "duckdb://", creator=lambda: scratch.connection, poolclass=NullPool, hide_parameters=True
        )
        with engine.connect() as connection:
            yield connection


def _files(database: Database, settings: Settings) -> dict[str, list[Path]]:
    """Table → its files in the order of the names. Hidden files are passed over."""
    return {
        name: sorted(
            path for path in settings.inbox_dir.glob(pattern) if path.is_file() and not path.name.startswith(".")
        )
        for name, pattern in database.files.items()
    }


def _readable(source: Source, path: Path, number: int, scratch: Scratch, settings: Settings) -> Readable:
    file = path.relative_to(settings.inbox_dir).as_posix()
    name = f"Source {source.name}, file {file}"
    plain = decompress(path, name, scratch.folder / f"{number}.plain")
    text = plain_text(plain, name, source.encodings, scratch.folder / f"{number}.utf8")
    return readable_csv(source, text, file, number, scratch.folder)


def _make_tables(scratch: Scratch, source: Source, files: Sequence[tuple[str, Readable]]) -> None:
    prepare(scratch, [file for _, file in files])
    groups = read_csv_files(scratch, [file for _, file in files], delimiter_of(source), has_header=True)
    broken = scratch.rows("select __file, min(__row), count(*) from unframed group by __file order by __file limit 1")
    for number, row, lines in broken:
        raise BadData(
            f"Source {source.name}, file {files[number][1].name}: row {row} cannot be read as CSV with the columns of "
            f"its header ({lines} such in all). Nothing was taken, because a join would lack it; correct the file."
        )
    for name in dict.fromkeys(name for name, _ in files):
        rows = _rows(groups, {file.number: file.header for table, file in files if table == name})
        try:
            scratch.connection.execute(f"create table {quoted(name)} as {rows}")
        except duckdb.CatalogException:
            raise BadConfig(f"{source.file}: field database.files.{name}: is taken, choose another name.") from None
    for group in groups:
        scratch.connection.execute(f"drop table {group.table}")


def _rows(groups: Sequence[Group], headers: Mapping[int, tuple[str, ...]]) -> str:
    """The rows of the files with these numbers, in their order; a column that a file does not have is null."""
    numbers = ", ".join(map(str, headers))
    parts = " union all by name ".join(
        f"select *, {row_number(group)} as __number from {group.table} where __file in ({numbers})"
        for group in groups
        if group.header in headers.values()
    )
    return f"select * exclude (__file, __row, __number) from ({parts}) order by __file, __number"
