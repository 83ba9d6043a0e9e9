"""
What goes wrong with files: values that are no values, bytes that are no text, frames that do not close, cut ends.

Rows to begin with are made from the contract itself, so that a new column is tried without a word here.
"""

import csv
import gzip
import io
import json
import random
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import cycle

import pyarrow as pa
import pyarrow.parquet

SECRET = "Geheim"  # in every text of a personal column: it may be in no log line and no error
LONG = random.Random(1).randbytes(1 << 19).hex()  # a megabyte that does not pack well
DEEP = "[" * 10_000 + "]" * 10_000


class Json(str):
    """JSON as it is to be written, instead of the text that it is."""

    __slots__ = ()


# Good rows.


def good_row(contract, file, n):
    """Column → text, of a row that keeps every rule and whose key no other (file, n) has."""
    return {name: _good_value(contract, name, file, n) for name in contract.columns}


def _good_value(contract, name, file, n):
    kind = contract.columns[name].type
    alone = f"f{file}n{n}"
    candidates = {
        "text": [f"{alone} café", f"{alone}@shop.example", f"https://shop.example/{alone}", "en", "EUR", "DE"],
        "phone": [f"+49{1510000000 + file * 1000 + n}"],
        "timestamp": [(datetime(2026, 1, 5, 12, tzinfo=UTC) + timedelta(minutes=n)).isoformat()],
        "date": ["2026-01-05"],
        "boolean": ["true"],
        "json": [json.dumps({"of": SECRET, "n": n})],
    }.get(kind, [str(n % 9 + 1)])
    rules = [rule for rule in contract.expectations if rule.kwargs.get("column") == name]
    known = [value for rule in rules if "to_be_in_set" in rule.expect for value in rule.kwargs["value_set"]]
    return next(value for value in [*known[:1], *candidates] if all(_keeps(rule, value) for rule in rules))


def _keeps(rule, value):
    if "match_regex" in rule.expect:
        return re.search(rule.kwargs["regex"], value) is not None
    if "not_be_in_set" in rule.expect:
        return value not in map(str, rule.kwargs["value_set"])
    if "_between" in rule.expect:
        return rule.kwargs.get("min_value", 0) <= float(value) <= rule.kwargs.get("max_value", 1e9)
    return True


# Values.

_BLANK = [None, "", " ", "\u00a0\u3000\ufeff", "\t\n"]
_TEXTS = [
    "\x01\x1b\x7f",
    "a\0b",
    "\u202eabc\u202c مرحبا",
    "\U0001d518\U0001d52b\U0001d526 👩🏽‍🌾 e\u0301",
    "'; drop table raw.files; --",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }} {% raw %} $day %s \\",
    '"quoted", "twice"',
    "one\ntwo\r\nthree\rfour",
    "NULL",
    "\\N",
    "true",
    LONG[:5000],
]
_NUMBERS = ["-1", "0", "1e400", "-1e-400", "nan", "-inf", "9" * 30, "1.234,56", "1,5", "0x10", "1_000", "٣", "1e9", "½"]
_DAYS = [
    "0000-00-00", "31.31.2026", "2026-02-30", "2999-01-01", "10000-01-01", "1582-10-10", "-0044-03-15", "infinity",
    "epoch", "20260105", "05/01/2026", "2026-01-05T25:61:61",
]  # fmt: skip
_MOMENTS = [
    *_DAYS, "2026-01-05T10:00:00+99:00", "2026-01-05T10:00:00-15:59", "2026-01-05T10:00:00.123456789+05:45",
    "2016-12-31T23:59:60Z", "2025-03-30 02:30:00", "2025-10-26 02:30:00", "1767225600", "2026-01-05T10:00:00 Mars/Base",
]  # fmt: skip
_JSONS = ["{", '{"a": 1}}', "[1, 2", '"text"', "17", '{"a": "\\ud800"}', '{"a\\u0000b": "\\u0000"}', DEEP]
_BY_TYPE = {
    "text": [],
    "phone": ["+", "00", "+999999999999999999999", "112", "ext. 5"],
    "boolean": ["maybe", "2", "TRUE", "on"],
    "date": _DAYS,
    "timestamp": _MOMENTS,
    "json": _JSONS,
}
_NATIVE = [Json(text) for text in ("true", "1.5", "[]", "{}", '{"a": [1, {"b": null}]}', "1e400", '"\\ud800"', DEEP)]


def hostile_values(column, format_):
    """What a column of this definition may bring in a file of this format."""
    values = [*_BLANK, *_TEXTS, *_BY_TYPE.get(column.type, _NUMBERS)]
    if column.pii:
        values = [f"{value} {SECRET}" if value and value.strip() else value for value in values] + values
    if format_ == "csv":
        return [value for value in values if "\0" not in (value or "")]
    return values + _NATIVE if format_ == "jsonl" else values


# Files.


def written(rows, format_, columns):
    """Rows (column → text or None) as the bytes of a file."""
    if format_ == "jsonl":
        return "".join(_json_line(row) for row in rows).encode()
    if format_ == "parquet":
        return parquet({name: [row.get(name) for row in rows] for name in columns})
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *([row.get(name) for name in columns] for row in rows)])
    return text.getvalue().encode()


def _json_line(row):
    pairs = (
        f"{json.dumps(key)}: {value if isinstance(value, Json) else json.dumps(value)}" for key, value in row.items()
    )
    return "{" + ", ".join(pairs) + "}\n"


def parquet(columns):
    table = pa.table(
        [pa.array(values) if isinstance(values, list) else values for values in columns.values()], [*columns]
    )
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def _again(encoding):
    return lambda content: content.decode(errors="replace").encode(encoding, errors="replace")


def _at(share, inserted, cut=0):
    def mutate(content):
        place = int(len(content) * share)
        return content[:place] + inserted + content[place + cut :]

    return mutate


def _line(number, change):
    def mutate(content):
        lines = content.splitlines(keepends=True)
        return (
            b"".join([*lines[:number], change(lines[number]), *lines[number + 1 :]]) if number < len(lines) else content
        )

    return mutate


def _ends(*ends):
    def mutate(content):
        lines = content.split(b"\n")
        return b"".join(line + ends[n % len(ends)] for n, line in enumerate(lines[:-1])) + lines[-1]

    return mutate


def _header(change):
    return _line(0, lambda line: b",".join(change(line.rstrip().split(b","))) + b"\n")


ENCODINGS = {
    "utf-8-mark": lambda content: b"\xef\xbb\xbf" + content,
    "utf-16": _again("utf-16"),
    "utf-16-unmarked": _again("utf-16-be"),
    "utf-32": _again("utf-32"),
    "utf-7": _again("utf-7"),
    "latin-1": _again("latin-1"),
    "cp1252": _again("cp1252"),
    "gbk": _again("gbk"),
    "broken": _at(0.5, b"\xff\xfe\x81"),
    "half-a-character": _at(1, b"\xc3"),
    "nul": _at(0.5, b"\0"),
    "other-line-ends": _at(0.5, "\u2028\u0085\x0b\x0c".encode()),
}
FRAMES = {
    "cr": _ends(b"\r"),
    "crlf": _ends(b"\r\n"),
    "mixed-ends": _ends(b"\n", b"\r\n", b"\r"),
    "mostly-lf": _ends(*[b"\n"] * 9, b"\r\n"),
    "lone-cr": _ends(*[b"\n"] * 9, b"\r"),
    "no-last-end": lambda content: content.rstrip(b"\n"),
    "blank-lines": _ends(b"\n", b"\n\n", b"\n \n", b"\n\r\n"),
    "blank-beginning": lambda content: b"\n\r\n\n" + content,
    "open-quote": _line(3, lambda line: b'"' + line),
    "open-quote-last": lambda content: content[:-1] + b'"\n',
    "quote-inside": _line(3, lambda line: line[:2] + b'"' + line[2:]),
    "two-quotes-inside": _line(3, lambda line: line[:2] + b'""' + line[2:]),
    "text-after-quote": _line(3, lambda line: b'"a"b' + line),
    "extra-field": _line(3, lambda line: line.rstrip(b"\n") + b",more\n"),
    "extra-blank-field": _line(3, lambda line: line.rstrip(b"\n") + b",\n"),
    "missing-field": _line(3, lambda line: line.rpartition(b",")[0] + b"\n"),
    "all-missing-fields": lambda content: b"".join(line.rpartition(b",")[0] + b"\n" for line in content.splitlines()),
    "only-commas": _line(3, lambda line: b"," * line.count(b",") + b"\n" + line),
    "quoted-blanks": _line(3, lambda line: b'"",' * line.count(b",") + b'""\n' + line),
    "semicolons": lambda content: content.replace(b",", b";"),
    "tabs": lambda content: content.replace(b",", b"\t"),
    "one-long-line": _line(3, lambda line: line.rstrip(b"\n") + b"x" * 3_000_000 + b"\n"),
    "one-long-quoted": _line(3, lambda line: b'"' + b"x\n" * 1_000 + b'"' + line),
    "header-missing": _line(0, lambda _: b""),
    "header-twice": _line(0, lambda line: line * 2),
    "header-again": _line(9, lambda line: line + b"order_id,customer_ref,email\n"),
    "header-reversed": _header(lambda names: names[::-1]),
    "header-upper": _header(lambda names: [name.upper() for name in names]),
    "header-spaced": _header(lambda names: [b" " + name + b" " for name in names]),
    "header-quoted": _header(lambda names: [b'"' + name + b'"' for name in names]),
    "header-renamed": _header(lambda names: [name + b"_x" for name in names[:1]] + names[1:]),
    "header-repeated": _header(lambda names: [*names[:-1], names[0]]),
    "header-injected": _header(lambda names: [*names[:-1], b'"x""\'; drop table files; --"']),
    "header-ours": _header(lambda names: [*names[:-1], b"__row"]),
    "header-open-quote": _header(lambda names: [b'"' + names[0], *names[1:]]),
    "header-blank": _header(lambda names: [*names[:-1], b""]),
    "header-long": _header(lambda names: [*names[:-1], b"x" * 100_000]),
    "header-only": lambda content: content[: content.find(b"\n") + 1],
    "empty": lambda _: b"",
    "only-a-mark": lambda _: b"\xef\xbb\xbf",
    "only-blank-lines": lambda _: b"\n\r\n  \n",
    "only-a-quote": lambda _: b'"',
    "html": lambda _: b"<!doctype html>\n<title>503 Service Unavailable</title>\n",
    "json-array": lambda content: b"[" + content.rstrip().replace(b"\n", b",\n") + b"]",
}
CUTS = {
    f"cut-{share}": lambda content, share=share: content[: int(len(content) * share)]
    for share in (0.01, 0.1, 0.5, 0.77)
}
CUTS |= {f"cut-last-{n}": lambda content, n=n: content[:-n] for n in (1, 2, 5, 13)}
TEXT_MUTATIONS = ENCODINGS | FRAMES | CUTS


def zst(content):
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, "zstd") as writing:
        writing.write(content)
    return buffer.getvalue().to_pybytes()


PACKED = {  # suffix → content
    "whole.gz": gzip.compress,
    "whole.zst": zst,
    "twice.gz": lambda content: gzip.compress(gzip.compress(content)),
    "parts.gz": lambda content: gzip.compress(content[:99]) + gzip.compress(content[99:]),
    "tail.gz": lambda content: gzip.compress(content) + b"junk",
    "zeros.gz": lambda content: gzip.compress(content) + bytes(512),
    "plain.gz": bytes,
    "plain.zst": bytes,
    "is-zst.gz": zst,
    "is-gz.zst": gzip.compress,
    "is-gz": gzip.compress,
    "empty.gz": lambda _: b"",
    "empty.zst": lambda _: b"",
    "nothing.gz": lambda _: gzip.compress(b""),
    "parts.zst": lambda content: zst(content[:99]) + zst(content[99:]),
    "tail.zst": lambda content: zst(content) + b"junk",
}
PACKED |= {
    f"cut-{share}.{suffix}": lambda content, pack=pack, cut=cut: cut(pack(content))
    for suffix, pack in (("gz", gzip.compress), ("zst", zst))
    for share, cut in CUTS.items()
}
PACKED |= {
    f"flipped-{share}.{suffix}": lambda content, pack=pack, share=share: _at(share, b"\x55\xaa", cut=2)(pack(content))
    for suffix, pack in (("gz", gzip.compress), ("zst", zst))
    for share in (0.3, 0.9)
}
PARQUET_MUTATIONS = CUTS | {
    "empty": lambda _: b"",
    "csv": lambda _: b"a,b\n1,2\n",
    "junk-after": lambda content: content + b"junk",
    "twice": lambda content: content * 2,
    **{f"flipped-{share}": _at(share, b"\x55\xaa\x55", cut=3) for share in (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)},
}


def other_types(values):
    """Name → Arrow arrays as long as `values`, of every kind a Parquet column may have."""
    n = len(values)
    moment = datetime(2026, 1, 5, 12, tzinfo=UTC)
    return {
        "text": pa.array(values),
        "large-text": pa.array(values, pa.large_string()),
        "dictionary": pa.array(values).dictionary_encode(),
        "integer": pa.array(range(n)),
        "unsigned": pa.array([2**64 - 1] * n, pa.uint64()),
        "double": pa.array([float("nan"), float("inf"), -0.0, 1e300][k % 4] for k in range(n)),
        "decimal": pa.array([Decimal("12345678901234567890.123456789")] * n, pa.decimal128(38, 9)),
        "boolean": pa.array([True] * n),
        "null": pa.nulls(n),
        "binary": pa.array([b"\xff\xfe\x00a"] * n),
        "date": pa.array([moment.date()] * n),
        "moment": pa.array([moment] * n, pa.timestamp("ns", "Asia/Kathmandu")),
        "local-moment": pa.array([moment.replace(tzinfo=None)] * n, pa.timestamp("ms")),
        "far-moment": pa.array([2**62] * n, pa.timestamp("us", "UTC")),
        "time": pa.array([moment.time()] * n),
        "duration": pa.array([timedelta(days=1)] * n),
        "list": pa.array([[value, None] for value in values]),
        "struct": pa.array([{"a": value, "b": {"c": 1}} for value in values]),
        "map": pa.array([[("a", value)] for value in values], pa.map_(pa.string(), pa.string())),
    }


# YAML.

_INSTEAD = [
    None, True, -1, 0, 10**30, 1e308, float("nan"), "", " ", "\0", "\n", '"', "x" * 10_000, "%", "**x", "{", ["rot13"],
    date(2026, 1, 5), [], {}, [[]], {"sql": "1"}, {"": None},
]  # fmt: skip


def documents(document, loads=200):
    """
    (path of a key, the document with that key changed) for each key, however deep.

    Each key is left out once. The other changes are tried at each key of a small document, and in turns at those of a
    large one.
    """
    paths = [*_keys(document)]
    turns = cycle(range(len(_INSTEAD) + 2))
    for path in paths:
        *above, key = path
        value, beside = _at_path(document, path), _at_path(document, above)
        if not isinstance(beside, dict):
            continue
        others = {name: other for name, other in beside.items() if name != key}
        changes = [{key: other} for other in (*_INSTEAD, [value])] + [{key: value, f"{key}x": value}]
        for changed in ({}, *(changes[next(turns)] for _ in range(min(len(changes), loads // len(paths))))):
            yield path, _replaced(document, above, others | changed)


def _keys(value, path=()):
    if isinstance(value, dict):
        for key, below in value.items():
            yield (*path, key)
            yield from _keys(below, (*path, key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _keys(below, (*path, number))


def _at_path(value, path):
    for part in path:
        value = value[part]
    return value


def _replaced(value, path, new):
    if not path:
        return new
    if isinstance(value, list):
        return [_replaced(below, path[1:], new) if number == path[0] else below for number, below in enumerate(value)]
    return {key: _replaced(below, path[1:], new) if key == path[0] else below for key, below in value.items()}
