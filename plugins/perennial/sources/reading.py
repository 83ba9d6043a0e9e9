"""Readable files to tables of text in the scratch database, one table per header. No line is lost on the way."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa

from perennial.foundation.errors import BadData
from perennial.sources.definition import literal, quoted
from perennial.sources.framing import Unframed, records
from perennial.sources.header import Readable
from perennial.sources.scratch import Scratch
from perennial.sources.text import lines_of

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 50_000
_LAST_LINE = uuid4().hex  # no file can hold it
_NO_SUCH_CHARACTER = "\x1f"  # JSON forbids it in a line, so that a line is one field


@dataclass(frozen=True)
class Group:
    """A scratch table of `__file, __row` and one text column per name of `header`."""

    table: str
    header: tuple[str, ...]


def row_number(group: Group) -> str:
    """The number of a row in its file, from 1: files read in one scan are numbered by their order in the table."""
    return f"coalesce(__row, {group.table}.rowid - min({group.table}.rowid) over (partition by __file) + 1)"


def without_nul(text: str) -> str:
    """SQL for a text without the character that PostgreSQL cannot hold; files of plain text have none."""
    return f"replace({text}, chr(0), '')"


def with_last_lines(scratch: Scratch, files: Sequence[Readable], delimiter: str) -> list[Readable]:
    """
    The CSV files, those with quotes with a copy that ends in a line of ours; few files as they are.

    More files than twice its threads DuckDB reads by one thread each, small ones several times faster, but then it
    tells of no quote that is never closed, though it drops all that follows: our line is missing then.
    """
    [(few,)] = scratch.rows("select 2 * current_setting('threads')")
    if len(files) <= few:
        return list(files)
    return [replace(file, ended=_with_last_line(file, delimiter, scratch.folder)) for file in files]


def _with_last_line(file: Readable, delimiter: str, folder: Path) -> Path | None:
    content = file.path.read_bytes()
    if b'"' not in content:
        return None
    first = content.split(b"\n", 1)[0]
    end = b"\n" if b"\r" not in first else b"\r\n" if first.endswith(b"\r") else b"\r"
    ended = folder / f"{file.number}.ended"
    with ended.open("wb") as writing:
        writing.write(content)
        if not content.endswith((b"\n", b"\r")):
            writing.write(end)
        writing.write((_LAST_LINE + delimiter * (len(file.header) - 1)).encode() + end)
    return ended


def prepare(scratch: Scratch, files: Sequence[Readable]) -> None:
    """Make what the readers below need. The files are numbered by their place."""
    scratch.connection.execute("create table unframed (__file integer, __row bigint, content text)")
    if files:
        # A row's file is kept as its number, which is its place in this type, and not as a path per row.
        paths = ", ".join(literal(file.scanned) for file in files)
        scratch.connection.execute(f"create type landed_path as enum ({paths})")


def read_csv_files(scratch: Scratch, files: Sequence[Readable], delimiter: str, *, has_header: bool) -> list[Group]:
    """One table per header. Files that DuckDB finds fault with are read again record by record."""
    options = f"header = {has_header}, delim = {literal(delimiter)}, quote = '\"', escape = '\"'"
    kind = attrgetter("header")
    groups = []
    for number, (header, members) in enumerate(groupby(sorted(files, key=kind), key=kind)):
        group = Group(f"read_{number}", header)
        together = list(members)
        for file in _read_together(scratch, group, together, options):
            rows = records(lines_of(file.path), delimiter, len(header))
            if has_header:
                next(rows)
            _insert(scratch, group, file, rows)
        groups.append(group)
    return groups


def read_json_lines(scratch: Scratch, files: Sequence[Readable]) -> None:
    """The table `lines` of `__file, __row, line`; lines that are no JSON object become unframed."""
    raw = Group("read_lines", ("line",))
    _create(scratch, Group("lines", ("line",)))
    if not files:
        return
    options = f"header = false, delim = {literal(_NO_SUCH_CHARACTER)}, quote = '', escape = ''"
    for file in _read_together(scratch, raw, files, options):
        stripped = (line.rstrip("\r\n") for line in lines_of(file.path))
        _insert(scratch, raw, file, ([line] for line in stripped if line.strip()))
    _put_aside_what_is_no_object(scratch, raw)


def read_json_files(scratch: Scratch, files: Sequence[Readable]) -> dict[int, str]:
    """
    The same table of files that hold an array of objects, or one: a line is what is an object of its own there.

    Returns what is wrong with those that are no whole JSON, by their number: nothing of them is read.
    """
    raw = Group("read_lines", ("line",))
    _create(scratch, Group("lines", ("line",)))
    _create(scratch, raw)
    wrong: dict[int, str] = {}
    statement = (
        f"insert into {raw.table} select enum_code(__path::landed_path)::integer, null, json::varchar "
        "from read_json_objects($1, format = 'auto', filename = '__path')"
    )
    try:
        if files:
            scratch.connection.execute(statement, [[str(file.path) for file in files]])
    except duckdb.Error:  # it names no file for sure, and has read nothing
        for file in files:
            try:
                scratch.connection.execute(statement, [[str(file.path)]])
            except duckdb.Error as error:
                wrong[file.number] = str(error).split("\n", 1)[0].rpartition('", ')[2]  # without the path
    _put_aside_what_is_no_object(scratch, raw)
    return wrong


def _put_aside_what_is_no_object(scratch: Scratch, raw: Group) -> None:
    """Number the lines of `raw` into `lines`, and make unframed what is no JSON object."""
    scratch.connection.execute(f"insert into lines select __file, {row_number(raw)}, line from {raw.table}")
    scratch.connection.execute(f"drop table {raw.table}")
    broken = "from lines where not coalesce(json_valid(line), false) or json_type(line) <> 'OBJECT'"
    scratch.connection.execute(f"insert into unframed select __file, __row, line {broken}")
    scratch.connection.execute(f"delete {broken}")


def json_columns(scratch: Scratch, names: Iterable[str], each: str = "") -> Group:
    """
    The values of these keys (case aside, in any spelling found) of all JSON lines, as one table of text.

    With `each` a line has a row for each element of that array, which is the column of this name. Without elements it
    is a row all the same, and what is no array is its own element.
    """
    wanted = {name.lower() for name in names} - {each.lower()}
    found = sorted(str(key) for (key,) in scratch.rows("select distinct unnest(json_keys(line)) from lines"))
    spellings: dict[str, list[str]] = {}
    for key in found:
        if key.lower() in wanted:
            spellings.setdefault(key.lower(), []).append(key)
    keys = [key for same in spellings.values() for key in same]
    paths = ", ".join(literal(_path(key)) for key in keys)

    def value(same: list[str]) -> str:
        found = ", ".join(f"found[{keys.index(key) + 1}]" for key in same)
        return without_nul(f"coalesce({found})")

    number = "__row"
    columns = [f"{value(same)} as {quoted(name)}" for name, same in spellings.items()]
    source = f"(select *, json_extract_string(line, [{paths}]) as found from lines)" if keys else "lines"
    if each:
        _make_room_for_elements(scratch, each)
        number = "__row + shift + place - 1 as __row"
        element = without_nul("element ->> '$'")
        columns.append(f"{element} as {quoted(each)}")
        source = f"(select *, {_elements(each)} as elements from {source} as lines)"
        source = f"(select *, unnest(elements) as element, generate_subscripts(elements, 1) as place from {source})"
    scratch.connection.execute(
        f"create table read_0 as select {', '.join(['__file', number, *columns])} from {source} as lines"
    )
    return Group("read_0", (*spellings, *([each] if each else [])))


def _elements(each: str) -> str:
    """SQL for the list of a line's elements, which is never empty."""
    path, all_of_it = literal(_path(each)), literal(_path(each) + "[*]")
    return (
        f"case when json_array_length(line, {path}) > 0 then json_extract(line, {all_of_it}) "
        f"when json_type(line, {path}) = 'ARRAY' then [null::json] else [json_extract(line, {path})] end"
    )


def _make_room_for_elements(scratch: Scratch, each: str) -> None:
    """Add `shift` to the lines: by how much the elements of those before it raise the number of its first row."""
    more = f"len({_elements(each)}) - 1"
    scratch.connection.execute("alter table lines add column shift bigint")
    scratch.connection.execute(
        f"""
        update lines set shift = coalesce(before, 0) from (
            select __file, __row, sum(more) over (
                partition by __file order by __row rows between unbounded preceding and 1 preceding
            ) as before
            from (select __file, __row, {more} as more from lines)
        ) as counted
        where counted.__file = lines.__file and counted.__row = lines.__row
        """
    )
    scratch.connection.execute(
        f"update unframed set __row = __row + coalesce((select sum({more}) from lines "
        "where lines.__file = unframed.__file and lines.__row < unframed.__row), 0)"
    )


def _path(key: str) -> str:
    return '$."' + key.replace('"', '\\"') + '"'


def read_parquet_file(scratch: Scratch, group: Group, file: Readable) -> None:
    """Add one Parquet file to the table of its header. Raises BadData if it is damaged."""
    names = ", ".join(quoted(name) for name in file.header)
    try:
        _create(scratch, group)
        scratch.connection.execute(
            f"insert into {group.table} "
            f"select $1, file_row_number + 1, {without_nul('columns(* exclude (file_row_number))::varchar')} "
            f"from (select {names}, file_row_number from read_parquet($2, file_row_number = true))",
            [file.number, str(file.path)],
        )
    except duckdb.Error as error:
        reason = str(error).split("\n", 1)[0]
        raise BadData(f"File {file.name}: damaged or not Parquet ({reason}). Nothing of it was loaded.") from error


def _read_together(scratch: Scratch, group: Group, files: Sequence[Readable], options: str) -> list[Readable]:
    """
    Create the group's table from all files in one scan; returns those of which nothing was added: read them one by one.

    DuckDB drops a row it cannot frame and, after a quote that is never closed, all that follow: so a file it rejects
    anything of, or whose last line does not arrive, counts as unread.
    """
    _create(scratch, group)
    names = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in group.header)
    blank = " and ".join(f"coalesce({quoted(name)}, '') = ''" for name in group.header)
    connection = scratch.connection
    try:
        connection.execute(
            f"insert into {group.table} "
            f"select enum_code(__path::landed_path)::integer as __file, null::bigint as __row, * exclude (__path) "
            f"from read_csv($1, auto_detect = false, columns = {{{names}}}, nullstr = '', filename = '__path', "
            f"store_rejects = true, rejects_limit = 0, rejects_table = 'rejects_{group.table}', "
            f"rejects_scan = 'scans_{group.table}', {options}) where not ({blank})",
            [[file.scanned for file in files]],
        )
    except duckdb.Error as error:  # of one of them
        if len(files) > 1:
            halves = files[: len(files) // 2], files[len(files) // 2 :]
            return [file for half in halves for file in _read_together(scratch, group, half, options)]
        log.info("Reading file %s record by record: %s", files[0].name, str(error).split("\n", 1)[0])
        return list(files)
    rejected = {
        str(path)
        for (path,) in scratch.rows(
            f"select distinct file_path from rejects_{group.table} join scans_{group.table} using (scan_id, file_id)"
        )
    }
    whole = set()
    if any(file.ended for file in files):
        last = f"delete from {group.table} where {quoted(group.header[0])} = $1 returning __file"
        whole = {number for (number,) in scratch.rows(last, [_LAST_LINE])}
    again = [file for file in files if file.scanned in rejected or (file.ended and file.number not in whole)]
    if again:
        numbers = ", ".join(str(file.number) for file in again)
        connection.execute(f"delete from {group.table} where __file in ({numbers})")
    return again


def _create(scratch: Scratch, group: Group) -> None:
    columns = "".join(f", {quoted(name)} text" for name in group.header)
    scratch.connection.execute(f"create table if not exists {group.table} (__file integer, __row bigint{columns})")


def _insert(scratch: Scratch, group: Group, file: Readable, rows: Iterator[list[str] | Unframed]) -> None:
    """Add records read one by one; unframed lines go aside with their row number."""
    numbered = enumerate(rows, start=1)
    while part := list(islice(numbered, _ROWS_AT_ONCE)):
        good = [(row, fields) for row, fields in part if not isinstance(fields, Unframed)]
        bad = [(row, line.text) for row, line in part if isinstance(line, Unframed)]
        columns = zip(*(fields for _, fields in good), strict=True) if good else [[]] * len(group.header)
        _append(scratch, group.table, file, [row for row, _ in good], columns)
        _append(scratch, "unframed", file, [row for row, _ in bad], [[text for _, text in bad]])


def _append(scratch: Scratch, table: str, file: Readable, rows: list[int], columns: Iterable[Sequence[str]]) -> None:
    arrays = [pa.array([file.number] * len(rows), pa.int32()), pa.array(rows, pa.int64())]
    arrays += [pa.array(values, pa.string()) for values in columns]
    scratch.connection.register("incoming", pa.table(arrays, names=[f"c{number}" for number in range(len(arrays))]))
    scratch.connection.execute(f"insert into {table} select * from incoming")
    scratch.connection.unregister("incoming")
