"""Landed files of one source → a batch of typed rows in a scratch database."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet

from perennial.foundation.errors import BadData
from perennial.foundation.settings import Settings
from perennial.sources.arrival import Landed
from perennial.sources.batch import Batch, Note
from perennial.sources.definition import Mapping, Source
from perennial.sources.header import (
    Readable,
    check_header,
    delimiter_of,
    optional_but_missing,
    readable_csv,
    unknown_columns,
)
from perennial.sources.mapping import judged_view, mapped_text, typed_rows, typed_table
from perennial.sources.reading import (
    Group,
    json_columns,
    prepare,
    read_csv_files,
    read_json_files,
    read_json_lines,
    read_parquet_file,
    with_last_lines,
)
from perennial.sources.scratch import Scratch
from perennial.sources.text import decompress, lines_of, plain_text


def parse(scratch: Scratch, source: Source, entries: Sequence[Landed], settings: Settings) -> Batch:
    """
    Read, map and type the files of one source. A file that cannot be read is refused, the others are not.

    Raises BadData if a mapping expression fails on a row: then none of the batch can be trusted.
    """
    refused: dict[Landed, str] = {}
    readable: list[tuple[Landed, Readable]] = []
    for entry in entries:
        try:
            readable.append((entry, _readable(scratch, source, entry, len(readable), settings)))
        except BadData as error:
            refused[entry] = str(error)
    files = [file for _, file in readable]
    if source.format == "csv":
        files = with_last_lines(scratch, files, delimiter_of(source))
    prepare(scratch, files)
    _register(scratch, [entry for entry, _ in readable])
    if source.format == "csv":
        groups = read_csv_files(scratch, files, delimiter_of(source), has_header=source.header is None)
        notes = list(_notes(source, [group.header for group in groups]))
    elif source.is_json:
        if source.format == "jsonl":
            read_json_lines(scratch, files)
        else:
            _read_json_files(scratch, source, readable, refused)
        headers = _json_headers(scratch, source, readable, refused)
        groups = [json_columns(scratch, source.names_read, source.each)]
        # A key that a line has no value for is just left out: only what no line has is worth a note.
        notes = list(_notes(source, [tuple({key for keys in headers for key in keys})] if headers else []))
    else:
        groups = list(_parquet_groups(scratch, readable, refused))
        notes = list(_notes(source, [group.header for group in groups]))
    scratch.close_to_the_outside()
    scratch.connection.execute(typed_table(source.contract))
    for group in groups:
        _type_rows(scratch, source, group)
    scratch.connection.execute(judged_view(source.contract))
    return Batch(scratch, source, [entry for entry, _ in readable if entry not in refused], refused, groups, notes)


def _readable(scratch: Scratch, source: Source, entry: Landed, number: int, settings: Settings) -> Readable:
    """Check one file and bring it into a form the readers know. Raises BadData."""
    if entry.personal_rows is not None:
        raise BadData(f"Source {source.name}, file {entry.file}: only a pseudonymised copy of it is left.")
    landed = settings.landing_dir / entry.path
    if not landed.is_file():
        raise BadData(
            f"Source {source.name}, file {entry.file}: {landed} is gone. Restore the landing from its backup."
        )
    name = f"Source {source.name}, file {entry.file}"
    path = decompress(landed, name, scratch.folder / f"{number}.plain")
    if source.format == "parquet":
        header = _parquet_header(path, name)
        check_header(source, entry.file, header)
        return Readable(number, entry.file, path, header)
    path = plain_text(path, name, source.encodings, scratch.folder / f"{number}.utf8")
    if source.format == "json" and not _begins_as_json(path):
        raise BadData(f"{name}: holds no JSON array or object. Nothing of it was loaded; deliver it whole.")
    if source.is_json:
        return Readable(number, entry.file, path, ("line",))
    found = readable_csv(source, path, entry.file, number, scratch.folder)
    check_header(source, entry.file, found.header)
    return found


def _parquet_header(path: Path, name: str) -> tuple[str, ...]:
    try:
        return tuple(pyarrow.parquet.read_schema(path).names)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadData(f"{name}: damaged or not Parquet ({error}). Nothing of it was loaded.") from error


def _parquet_groups(
    scratch: Scratch, readable: list[tuple[Landed, Readable]], refused: dict[Landed, str]
) -> Iterator[Group]:
    groups: dict[tuple[str, ...], Group] = {}
    for entry, file in readable:
        group = groups.get(file.header) or Group(f"read_{file.number}", file.header)
        try:
            read_parquet_file(scratch, group, file)
            groups[file.header] = group
        except BadData as error:
            refused[entry] = str(error)
    yield from groups.values()


def _begins_as_json(path: Path) -> bool:
    first = next((text for line in lines_of(path) if (text := line.lstrip())), "")
    return first.startswith(("[", "{"))


def _read_json_files(
    scratch: Scratch, source: Source, readable: list[tuple[Landed, Readable]], refused: dict[Landed, str]
) -> None:
    wrong = read_json_files(scratch, [file for _, file in readable])
    for entry, file in readable:
        if file.number in wrong:
            refused[entry] = (
                f"Source {source.name}, file {file.name}: no whole JSON ({wrong[file.number]}). Nothing of it was "
                "loaded; deliver it whole."
            )


def _json_headers(
    scratch: Scratch, source: Source, readable: list[tuple[Landed, Readable]], refused: dict[Landed, str]
) -> list[tuple[str, ...]]:
    """The keys found in each file; a file none of whose lines has a required key is refused."""
    keys: dict[int, list[str]] = {}
    for number, key in scratch.rows("select distinct __file, unnest(json_keys(line)) from lines order by all"):
        keys.setdefault(int(str(number)), []).append(str(key).replace("\0", ""))
    headers = []
    for entry, file in readable:
        if file.number not in keys:
            continue
        try:
            check_header(source, file.name, tuple(keys[file.number]))
        except BadData as error:
            refused[entry] = str(error)
            for table in ("lines", "unframed"):
                scratch.connection.execute(f"delete from {table} where __file = $1", [file.number])
        else:
            headers.append(tuple(keys[file.number]))
    return headers


def _register(scratch: Scratch, entries: list[Landed]) -> None:
    """The table `files`: number, name, version and landing time of each file being read."""
    table = pa.table(
        {
            "number": pa.array(range(len(entries)), pa.int32()),
            "name": pa.array([entry.file for entry in entries], pa.string()),
            "version": pa.array([entry.version for entry in entries], pa.int32()),
            "landed_at": pa.array([entry.landed_at for entry in entries], pa.timestamp("us", "UTC")),
        }
    )
    scratch.connection.register("incoming", table)
    scratch.connection.execute("create table files as select * from incoming")
    scratch.connection.unregister("incoming")


def _notes(source: Source, headers: list[tuple[str, ...]]) -> Iterator[Note]:
    unknown = sorted({name for header in headers for name in unknown_columns(source, header)})
    if unknown:
        yield Note("unknown_columns", "info", f"columns the mapping does not use: {', '.join(unknown)}")
    missing = sorted({name for header in headers for name in optional_but_missing(source, header)})
    if missing:
        yield Note("missing_columns", "warning", f"some files have no column to read these from: {', '.join(missing)}")


def _type_rows(scratch: Scratch, source: Source, group: Group) -> None:
    try:
        scratch.connection.execute(typed_rows(source, group))
    except duckdb.Error as error:
        for field, mapping in (
            *((f"columns.{name}", of) for name, of in source.columns.items()),
            ("deleted", source.deleted),
        ):
            if mapping and mapping.sql:
                _try_expression(scratch, source, group, field, mapping)
        reason = str(error).split("\n", 1)[0]
        raise BadData(f"Source {source.name}: its rows cannot be mapped to {source.contract.name}: {reason}") from error


def _try_expression(scratch: Scratch, source: Source, group: Group, field: str, mapping: Mapping) -> None:
    """Raise BadData if it is this expression that fails."""
    try:
        scratch.connection.execute(
            f"create or replace temp table tried as select {mapped_text(mapping, group.header)} as value "
            f"from {group.table}"
        )
    except duckdb.Error as error:
        kind = type(error).__name__.removesuffix("Exception").lower()
        raise BadData(
            f"Source {source.name}, field {field}.sql: {mapping.sql!r} fails on some row ({kind} error), so nothing "
            f"of this batch was loaded. Use try_cast and friends, or correct sources/{source.name}.yaml."
        ) from error
