"""Landed files to typed rows, without the gate: nothing is lost or changed on the way."""

import csv
import io
from collections import Counter

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.foundation.settings import load_settings
from perennial.sources import load_source, open_scratch, parse, take

SOURCE = """
source: shop
contract: products
path: shop/*.csv
format: csv
formats: {FORMATS}
columns: {sku: sku, name: name, price: price, replenish_days: days, active: active}
"""
SPACES = " \t\r\n\f\v\u00a0\u3000\ufeff"
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "include" / "sources").mkdir(parents=True)
    (tmp_path / "include" / "sources" / "shop.yaml").write_text(SOURCE.replace("FORMATS", ""))
    (tmp_path / "inbox" / "shop").mkdir(parents=True)
    return tmp_path


def parsed(home, text, columns):
    """(rows of these columns, texts put aside, rows counted) of one CSV file."""
    settings = load_settings(home=home, include=home / "include", now="2026-02-01T09:30:00+01:00")
    for manifest in settings.landing_dir.glob("*/manifest.jsonl"):
        manifest.unlink()
    (home / "inbox" / "shop" / "a.csv").write_bytes(text.encode())
    source = load_source("shop", settings)
    with open_scratch(source.timezone, settings) as scratch:
        batch = parse(scratch, source, take(source, settings), settings)
        scratch.connection.execute("create table findings (_id bigint, reasons text[])")
        rows = scratch.rows(f"select {columns} from typed order by _row")
        aside = [text for (text,) in scratch.rows("select content from unframed order by __row")]
        return rows, aside, [count.rows for count in batch.counts("findings", settings.zone)]


@pytest.mark.slow
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(*[ANY_TEXT] * 5), max_size=12),
    # Unquoted, Python's writer leaves a lone line end of the other kind bare, which no reader can undo.
    written=st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL)]),
    tail=st.sampled_from(["", '9,"x', "too,few", "a,b,c,d,e,f"]),
)
def test_any_text_arrives_as_it_was_written(home, rows, written, tail):
    ending, quoting = written
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=ending, quoting=quoting).writerows(rows)
    typed, aside, counted = parsed(home, f"sku,name,price,days,active{ending}{text.getvalue()}{tail}", "sku, name")
    expected = [tuple(value.strip(SPACES) or None for value in row[:2]) for row in rows if any(row)]
    assert Counter(typed) == Counter(expected)
    assert aside == ([tail] if tail else [])
    assert counted == [len(expected) + bool(tail)]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("price", "12.5", "12.5000"),
        ("price", "1e2", "100.0000"),
        ("price", "12,5", None),
        ("price", "NaN", None),
        ("price", "inf", None),
        ("price", "99999999999", None),
        ("replenish_days", "30", "30"),
        ("replenish_days", "30.0", "30"),
        ("replenish_days", "30.5", None),
        ("replenish_days", "30 days", None),
        ("active", "Yes", "true"),
        ("active", "0", "false"),
        ("active", "maybe", None),
    ],
)
def test_a_value_is_readable_as_its_type_or_its_column_is_named(home, column, text, value):
    name = {"replenish_days": "days"}.get(column, column)
    [(typed, unreadable)], _, _ = parsed(home, f'sku,{name}\ns1,"{text}"\n', f"{column}::text, _unreadable")
    assert (typed, unreadable) == (value, None if value else column)


@pytest.mark.parametrize("text", ["", "  ", "\u00a0"])
def test_blank_is_null_and_not_unreadable(home, text):
    assert parsed(home, f"sku,price\ns1,{text}\n", "price, _unreadable")[0] == [(None, None)]


@pytest.mark.parametrize(
    ("text", "formats", "moment"),
    [
        ("2026-01-05 10:00", "", "2026-01-05 09:00:00"),
        ("2026-07-05T10:00:00", "", "2026-07-05 08:00:00"),
        ("2026-01-05T10:00:00Z", "", "2026-01-05 10:00:00"),
        ("2026-01-05T10:00:00.5-05:00", "", "2026-01-05 15:00:00.5"),
        ("2026-01-05", "", "2026-01-04 23:00:00"),
        ("05.01.2026 10:00", "recorded_at: '%d.%m.%Y %H:%M'", "2026-01-05 09:00:00"),
        ("05.01.2026", "recorded_at: ['%d.%m.%Y %H:%M', '%d.%m.%Y']", "2026-01-04 23:00:00"),
        ("05.01.2026 10:00 +0500", "recorded_at: '%d.%m.%Y %H:%M %z'", "2026-01-05 05:00:00"),
        ("31.31.2026 10:00", "recorded_at: '%d.%m.%Y %H:%M'", None),
        ("infinity", "", None),
        ("2026-02-30", "", None),
        ("yesterday", "", None),
    ],
)
def test_times_without_an_offset_are_those_of_the_source(home, text, formats, moment):
    (home / "include" / "sources" / "shop.yaml").write_text(
        SOURCE.replace("FORMATS", formats)
        .replace("contract: products", "contract: consents")
        .replace(SOURCE[SOURCE.index("columns:") :], "columns: {channel: channel, state: state, recorded_at: at}\n")
    )
    [(typed, unreadable)], _, _ = parsed(
        home, f"channel,state,at\nemail,granted,{text}\n", "(recorded_at at time zone 'UTC')::text, _unreadable"
    )
    assert (typed, unreadable) == (moment, None if moment else "recorded_at")
