"""Text columns of a source to typed contract columns, as SQL for the scratch database."""

from zoneinfo import ZoneInfo

from perennial.contracts import Column, Contract
from perennial.sources.definition import Mapping, Source, literal, quoted
from perennial.sources.reading import Group, without_nul

TYPED = "typed"
"""
The table of typed rows: `_id` (unique in the batch), `_file` and `_row` (both numbers), `_landed_at`, the contract
columns, `_unreadable` (the columns whose value is present and not readable as its type, or null), `_hash`, `_deleted`.
"""

JUDGED = "judged"
"""Of TYPED what the suite is held against: all but rows that name something to say that it is no more."""

_WIDE_SPACES = "\u00a0\u3000\ufeff"
_SPACES = literal(" \t\r\n\f\v" + _WIDE_SPACES)
_TRUE = "('true', 't', 'yes', 'y', '1')"
_FALSE = "('false', 'f', 'no', 'n', '0')"
# What every engine, Arrow and Python can hold, moments in any time zone; 9999-12-31 is a customary "for ever".
_BOUNDS = {
    "date": "date '0001-01-01' and date '9999-12-31'",
    "timestamp": "timestamptz '0001-01-02 00:00:00+00' and timestamptz '9999-12-31 09:59:59+00'",
}
_LONGEST_NAME = 500  # bytes; four of them make a key that PostgreSQL can still index
_FILE_SHIFT = 2**40  # rows a file may have before two files would share an _id


def typed_table(contract: Contract) -> str:
    """The DDL of TYPED."""
    columns = "".join(f", {name} {column.sql_type}" for name, column in contract.columns.items())
    return (
        f"create table {TYPED} (_id bigint, _file integer, _row bigint, _landed_at timestamptz{columns}, "
        "_unreadable text, _hash text, _deleted boolean)"
    )


def judged_view(contract: Contract) -> str:
    """The DDL of JUDGED. Who deletes without the whole key has to tell the rest, as the content then stands for it."""
    whole_key = " and ".join(f"{name} is not null" for name in contract.key)
    return f"create view {JUDGED} as select * from {TYPED} where not (_deleted and {whole_key})"


def typed_rows(source: Source, group: Group) -> str:
    """The insert that types the rows of one group."""
    columns = source.contract.columns
    mapped = ", ".join(f"{mapped_text(source.columns.get(name), group.header)} as {name}" for name in columns)
    deleted = f"lower(trim({mapped_text(source.deleted, group.header)})) in {_TRUE}"
    texts = ", ".join(f"nullif({_trimmed(name)}, '') as {name}" for name in columns)
    values = ", ".join(f"{_value(name, column, source)} as v_{name}" for name, column in columns.items())
    unreadable = ", ".join(
        f"case when {name} is not null and v_{name} is null then '{name}' end"
        for name, column in columns.items()
        if column.type not in ("text", "phone") or name in source.contract.naming
    )
    return f"""
        insert into {TYPED}
        with firsts as (select __file, min(rowid) as first from {group.table} group by __file),
        mapped as (
            select __file as _file, coalesce(__row, {group.table}.rowid - first + 1) as _row,
                coalesce({deleted}, false) as _deleted, {mapped}
            from {group.table} join firsts using (__file)
        ),
        texts as (select _file, _row, _deleted, {texts} from mapped),
        parsed as (select *, {values} from texts)
        select
            _file::bigint * {_FILE_SHIFT} + _row, _file, _row, files.landed_at,
            {", ".join(f"v_{name}" for name in columns)},
            {f"nullif(concat_ws(', ', {unreadable}), '')" if unreadable else "null"},
            md5(concat_ws(chr(31), {", ".join(_canonical(name, column) for name, column in columns.items())})), _deleted
        from parsed join files on files.number = _file
    """


def mapped_text(mapping: Mapping | None, header: tuple[str, ...]) -> str:
    """The text that a mapping reads, as the source has it; null where the file lacks what it is read from."""
    if mapping is None or mapping.missing_from(header):
        return "null::varchar"
    if mapping.sql:
        return without_nul(f"(\n{mapping.sql}\n)::varchar")
    present = {name.lower() for name in header}
    return quoted(next(name for name in mapping.names if name.lower() in present))


def _trimmed(name: str) -> str:
    # Trimming a set of characters is slow, as are comparing texts and right(); few values need it.
    wide = ", ".join(str(ord(space)) for space in _WIDE_SPACES)
    ends = (f"unicode({name})", f"unicode(substr({name}, -1))")
    needs = " or ".join(f"{end} not between 33 and 127 and ({end} <= 32 or {end} in ({wide}))" for end in ends)
    return f"case when {needs} then trim({name}, {_SPACES}) else {name} end"


def _value(name: str, column: Column, source: Source) -> str:
    """One typed value, null where the text is not readable as its type."""
    if column.type in ("date", "timestamp"):
        parses = [f"try_strptime({name}, {literal(text)})::{column.sql_type}" for text in source.formats.get(name, ())]
        moment = f"coalesce({', '.join(parses)})" if parses else f"try_cast({name} as {column.sql_type})"
        return f"case when {moment} between {_BOUNDS[column.type]} then {moment} end"
    readings = {
        "text": name,
        "phone": f"e164({name}, {_country(source)})",
        # A plain cast would round 3.7.
        "integer": f"case when regexp_full_match({name}, '[-+]?[0-9]+([.]0*)?') then try_cast({name} as bigint) end",
        "number": f"case when isfinite(try_cast({name} as double)) then try_cast({name} as double) end",
        "boolean": f"case when lower({name}) in {_TRUE} then true when lower({name}) in {_FALSE} then false end",
        "json": f"case when json_valid({name}) then {name} end",
    }
    reading = readings.get(column.type, f"try_cast({name} as {column.sql_type})")
    if name in source.contract.naming:
        return f"case when strlen({name}) <= {_LONGEST_NAME} then {reading} end"
    return reading


def _country(source: Source) -> str:
    """The country of a row's phone numbers: its own where it has one, else the source's."""
    default = literal(source.country)
    if "country" not in source.contract.columns:
        return default
    return f"case when regexp_full_match(country, '[A-Za-z]{{2}}') then upper(country) else {default} end"


def _canonical(name: str, column: Column) -> str:
    """A value as text that is the same in every session, with null told apart from blank."""
    value = f"epoch_us(v_{name})" if column.type == "timestamp" else f"v_{name}"
    return f"coalesce({value}::varchar, chr(30))"


def key_of(source: Source, *, all_numbered: bool) -> str:
    """
    The identity of a row as one text: its key columns joined by `|`.

    Without the column that numbers rows, the content and the ordinal among identical rows of the file take its place;
    that costs a sort, which `all_numbered` saves. Where the source says that identical rows are duplicates, the content
    alone.
    """
    contract = source.contract
    texts = {name: _key_text(name, contract.columns[name]) for name in contract.key}
    whole = f"concat_ws('|', {', '.join(texts.values())})"
    if contract.numbered_by is None or all_numbered:
        return whole
    stand_in = [text for name, text in texts.items() if name != contract.numbered_by] + ["_hash"]
    if not source.repeats_are_duplicates:
        stand_in.append("(row_number() over (partition by _file, _hash order by _row))::varchar")
    return f"case when {contract.numbered_by} is null then concat_ws('|', {', '.join(stand_in)}) else {whole} end"


def _key_text(name: str, column: Column) -> str:
    moment = f"{name} at time zone 'UTC'" if column.type == "timestamp" else name
    return f"coalesce(({moment})::varchar, '')"


def business_dates(contract: Contract, zone: ZoneInfo) -> str:
    """The business date of every timestamp and of the row (`_day`), as select items with a leading comma."""
    dates = {name: _business_date(moment, contract, zone) for name, moment in contract.date_columns.items()}
    dates["_day"] = _business_date(contract.dated_by, contract, zone) if contract.dated_by else "null::date"
    return "".join(f", {date} as {name}" for name, date in dates.items())


def _business_date(column: str, contract: Contract, zone: ZoneInfo) -> str:
    is_moment = contract.columns[column].type == "timestamp"
    return f"({column} at time zone '{zone.key}')::date" if is_moment else column
