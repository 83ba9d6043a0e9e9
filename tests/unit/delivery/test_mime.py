import quopri
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.delivery.mime import (
    MAX_BYTES,
    clean_address,
    compose,
    format_mailbox,
    header_text,
    quoted_printable,
)
from perennial.delivery.provider import Mail, Unsendable

MESSAGE_ID = "0b1f7a52-5d8e-5c1c-9f0e-1a2b3c4d5e6f"
HOSTILE = [
    "=?UTF-8?Q?=0A?=Bcc: victim@x.example",
    "Eve\r\nBcc: victim@x.example",
    "Eve\nBcc: victim@x.example",
    "Eve\x00\x0b\x0c\x1b[31m",
    "Eve\u2028Bcc: victim@x.example\u2029\x85",
    '"Eve" <eve@x.example>, victim@x.example',
    "晓雨" * 60,
    "=?utf-8?b?" + "A" * 200,
    "a" * 300,
    "\ud800 lone surrogate",
]


def _mail(**changes):
    fields = {
        "message_id": MESSAGE_ID,
        "campaign": "win_back",
        "sender": "Perennial Demo Shop <hello@shop.example>",
        "recipient": "ada@mail.example",
        "date": datetime(2026, 2, 1, 8, 30, tzinfo=UTC),
        "subject": "We miss you",
        "html": "<p>Hello</p>",
        "text": "Hello",
        "unsubscribe_url": "https://shop.example/unsubscribe/token",
    }
    fields |= changes
    return Mail(**fields | {part: (fields[part],) for part in ("subject", "html", "text")})


def _read(content):
    return message_from_bytes(content, policy=policy.default)


def _unix(part):
    return part.get_content().replace("\r\n", "\n")


def test_a_mail_has_its_headers_and_both_parts():
    read = _read(compose(_mail(subject="晓雨，我们想念您", html="<p>你好 = hello</p>\n", text="你好\n.\n..dots")))  # noqa: RUF001
    assert read["From"] == "Perennial Demo Shop <hello@shop.example>"
    assert read["To"] == "ada@mail.example"
    assert read["Subject"] == "晓雨，我们想念您"  # noqa: RUF001
    assert read["Date"].datetime == datetime(2026, 2, 1, 8, 30, tzinfo=UTC)
    assert read["Message-ID"] == f"<{MESSAGE_ID}@shop.example>"
    assert read["X-Perennial-Message"] == MESSAGE_ID
    assert read["List-Unsubscribe"] == "<https://shop.example/unsubscribe/token>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert read.get_content_type() == "multipart/alternative"
    text, html = read.iter_parts()
    assert (text.get_content_type(), _unix(text)) == ("text/plain", "你好\n.\n..dots")
    assert (html.get_content_type(), _unix(html)) == ("text/html", "<p>你好 = hello</p>\n")
    assert read.defects == []


def test_mail_that_is_not_promotional_has_no_unsubscribe_headers():
    read = _read(compose(_mail(unsubscribe_url=None)))
    assert read["List-Unsubscribe"] is None
    assert read["List-Unsubscribe-Post"] is None


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_adds_no_header_and_shows_as_it_is(name):
    content = compose(_mail(subject=name, sender=f"{format_mailbox(name, 'hello@shop.example')}"))
    head = content.split(b"\r\n\r\n")[0]
    assert all(len(line) <= 78 for line in head.split(b"\r\n"))
    read = message_from_bytes(content)
    assert set(read.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "X-Perennial-Message", "MIME-Version", "Content-Type",
        "List-Unsubscribe", "List-Unsubscribe-Post",
    }  # fmt: skip
    shown = str(make_header(decode_header(read["Subject"])))
    assert shown == " ".join("".join(char if char.isprintable() or char == " " else " " for char in name).split())


@given(st.text(max_size=300))
def test_any_text_becomes_one_safe_header_value(value):
    encoded = header_text(value)
    assert all(len(line) <= 76 for line in encoded.split("\r\n"))
    assert encoded.replace("\r\n ", "").isprintable()
    assert encoded.isascii()
    assert "\n" not in encoded.replace("\r\n ", "")


# Text that lies in wait at line ends: blanks, dots, equal signs, what needs three columns a byte.
TEXTS = (
    st.text(max_size=90)
    | st.text("x =.\n\t", max_size=90)
    | st.text("x.", min_size=70, max_size=160)
    | st.text("ab 晓", min_size=60, max_size=90)
)


@settings(deadline=None, max_examples=400)
@given(st.lists(TEXTS, max_size=6).map(tuple))
def test_pieces_in_quoted_printable_decode_to_the_text_they_make(pieces):
    encoded = quoted_printable(pieces)
    assert encoded == b"" or encoded.endswith(b"\r\n")
    lines = encoded.split(b"\r\n")
    assert all(len(line) <= 76 and not line.endswith((b" ", b"\t")) and not line.startswith(b".") for line in lines)
    assert not any({*line} - {*range(32, 127), 9} for line in lines)
    unix = "".join(piece.replace("\r\n", "\n").replace("\r", "\n") for piece in pieces)
    assert quopri.decodestring(encoded).replace(b"\r\n", b"\n") == unix.encode("utf-8", "replace")


@pytest.mark.parametrize("end", ["", " ", "\t", "=", "é", " \nnext", "=\nnext"])
@pytest.mark.parametrize("columns", range(68, 82))
def test_a_full_line_stays_within_76_columns_whatever_it_ends_in(columns, end):
    text = "x" * columns + end
    for pieces in ((text,), ("", text)):
        encoded = quoted_printable(pieces)
        assert max(len(line) for line in encoded.split(b"\r\n")) <= 76
        assert quopri.decodestring(encoded).replace(b"\r\n", b"\n").decode() == text


@pytest.mark.parametrize(
    ("address", "clean"),
    [
        ("ada@mail.example", "ada@mail.example"),
        (" Ada.Byron+x@Mail.example ", "Ada.Byron+x@Mail.example"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ],
)
def test_plain_addresses_pass(address, clean):
    assert clean_address(address) == clean


@pytest.mark.parametrize(
    "address",
    [
        "", "@", "ada", "ada@", "@mail.example", "ada@mail", "a b@mail.example", "a@b@mail.example",
        "ada@mail..example", "ada@[127.0.0.1]", "ada@mail.example, x@y.example", ".ada@mail.example",
        "ada@mail.example\r\nBcc: x@y.example", "ada@mail.example\nRCPT TO:<x@y.example>",
        "ada@mail.example>,<x@y.example", "ada@" + "a" * 300 + ".example",
        "=?utf-8?q?x?=@mail.example", '"quoted"@mail.example', "ädä@mail.example", "a" * 65 + "@mail.example",
    ],
)  # fmt: skip
def test_other_addresses_are_refused_without_being_repeated(address):
    with pytest.raises(Unsendable) as error:
        clean_address(address)
    assert not address or address not in str(error.value)


def test_a_mail_too_large_is_refused():
    with pytest.raises(Unsendable, match=f"more than {MAX_BYTES}"):
        compose(_mail(html="x" * MAX_BYTES))


@pytest.mark.parametrize("url", ["https://x.example/\r\nBcc: y", "https://x.example/<>", "https://x.example/ä", ""])
def test_a_crooked_unsubscribe_link_is_refused(url):
    with pytest.raises(Unsendable, match="PERENNIAL_PUBLIC_URL"):
        compose(_mail(unsubscribe_url=url))
