"""Record by record: whatever a file holds, each of its lines ends up in a record or aside."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from perennial.sources.framing import Unframed, records

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def read(text, width=2):
    return list(records(io.StringIO(text, newline=""), ",", width))


def test_an_open_quote_costs_its_own_line_only():
    assert read('1,"a\n2,b\n3,"c\nd"\n') == [Unframed('1,"a'), ["2", "b"], ["3", "c\nd"]]


def test_too_few_and_too_many_fields_are_put_aside():
    assert read("1\n1,2,3\n1,2\n") == [Unframed("1"), Unframed("1,2,3"), ["1", "2"]]


def test_blank_lines_are_no_rows():
    assert read("\n1,2\n\n,\n") == [["1", "2"]]


def test_an_open_quote_in_a_long_file_is_given_up_early():
    rows = read('0,"x\n' + "1,2\n" * 5000)
    assert rows[0] == Unframed('0,"x')
    assert rows[1:] == [["1", "2"]] * 5000


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=20))
def test_what_a_csv_writer_writes_is_read_back(rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    assert read(text.getvalue()) == [list(row) for row in rows if any(row)]


@given(st.text('ab",\n\r ', max_size=200))
def test_no_character_of_any_text_is_lost(text):
    kept = "".join("".join(row) if isinstance(row, list) else row.text for row in read(text))
    for letter in "ab":
        assert kept.count(letter) == text.count(letter)
