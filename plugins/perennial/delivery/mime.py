"""
One e-mail as bytes (RFC 5322), composed by hand: faster than `email`, and nothing a person wrote reaches a header raw.

Python 3.11's `email` lets a crafted name such as `=?UTF-8?Q?=0A?=Bcc:` inject a header (CVE-2024-6923). Here every
header value is either plain printable ASCII without `=?`, or encoded words made by us.

The bodies are quoted-printable, put together from encoded pieces: those of the template are encoded once.
"""

import base64
import binascii
import re
from datetime import datetime
from email.utils import format_datetime, parseaddr
from functools import lru_cache

from perennial.delivery.provider import Mail, Unsendable
from perennial.templates.render import Pieces

MESSAGE_HEADER = "X-Perennial-Message"
MAX_BYTES = 1_000_000
_PLAIN = re.compile(r"[ -~]{0,66}")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SHORT = re.compile(r"(?!\.)[ -<>-~]{1,75}")  # nothing to encode, and room for a soft break
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]")
_WORD_BYTES = 39  # as base64 in an encoded word, after "Subject: ", within 76 columns


def compose(mail: Mail) -> bytes:
    """
    The mail with a text and an HTML part, in ASCII with CRLF line ends; no line begins with a dot.

    Raises Unsendable for a bad address or a mail above MAX_BYTES.
    """
    boundary = f"=_{mail.message_id}"
    headers = [
        _from(mail.sender),
        f"To: {clean_address(mail.recipient)}",
        f"Subject: {header_text(''.join(mail.subject))}",
        f"Date: {_date(mail.date.replace(microsecond=0))}",
        f"Message-ID: <{mail.message_id}@{split_mailbox(mail.sender)[1].rpartition('@')[2]}>",
        f"{MESSAGE_HEADER}: {mail.message_id}",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"',
    ]
    headers.extend(f"{name}: {value}" for name, value in unsubscribe_headers(mail).items())
    content = b"".join(
        (
            "\r\n".join(headers).encode("ascii"),
            _part_head("\r\n\r\n", boundary, "plain"),
            quoted_printable(mail.text),
            _part_head("\r\n", boundary, "html"),
            quoted_printable(mail.html),
            f"\r\n--{boundary}--\r\n".encode("ascii"),
        )
    )
    if len(content) > MAX_BYTES:
        raise Unsendable(f"The mail has {len(content)} bytes, more than {MAX_BYTES}.")
    return content


def _part_head(before: str, boundary: str, kind: str) -> bytes:
    return (
        f"{before}--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    ).encode("ascii")


@lru_cache(maxsize=16)
def _from(mailbox: str) -> str:
    return f"From: {format_mailbox(*split_mailbox(mailbox))}"


@lru_cache(maxsize=16)
def _date(moment: datetime) -> str:
    return format_datetime(moment)


def unsubscribe_headers(mail: Mail) -> dict[str, str]:
    """The headers of one-click unsubscription (RFC 8058), where the mail has a link for it. Raises Unsendable."""
    if mail.unsubscribe_url is None:
        return {}
    if not re.fullmatch(r"[!-;=?-~]{1,900}", mail.unsubscribe_url):
        raise Unsendable("The unsubscribe link is no plain URL: check PERENNIAL_PUBLIC_URL.")
    return {"List-Unsubscribe": f"<{mail.unsubscribe_url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def header_text(value: str) -> str:
    """Free text as a header value: control characters become blanks; what is not plain becomes encoded words."""
    cleaned = " ".join(_CONTROLS.sub(" ", value).split())
    if _PLAIN.fullmatch(cleaned) and "=?" not in cleaned:
        return cleaned
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(chunk).decode()}?=" for chunk in _chunks(cleaned))


def format_mailbox(name: str, address: str) -> str:
    """`Name <address>` as a header value."""
    shown = header_text(name)
    if not shown:
        return clean_address(address)
    if not shown.startswith("=?"):
        escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
        shown = f'"{escaped}"'
    return f"{shown}\r\n <{clean_address(address)}>"


@lru_cache(maxsize=16)  # the sender of every mail
def split_mailbox(mailbox: str) -> tuple[str, str]:
    """`Name <address>` as name and checked address. Raises Unsendable."""
    name, address = parseaddr(mailbox)
    return name, clean_address(address)


def clean_address(address: str) -> str:
    """
    The address as SMTP and headers take it, an international domain in its ASCII form.

    Raises Unsendable for anything else: control characters, several addresses, encoded-word look-alikes,
    local parts beyond ASCII.
    """
    local, _, domain = address.strip(" ").rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise Unsendable("The address has no valid domain.") from error
    if len(local) > 64 or len(domain) > 253 or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise Unsendable("The address is not one plain e-mail address.")
    if "=?" in local:
        raise Unsendable("The address looks like an encoded word.")
    return f"{local}@{domain}"


def quoted_printable(pieces: Pieces) -> bytes:
    """
    The pieces, joined, in quoted-printable with CRLF line ends, at most 76 columns, no line with a dot in front.

    Each piece is encoded by itself, from column 0 to column 0: where its text ends within a line, a soft break follows.
    """
    encoded = [b""] * len(pieces)
    encoded[::2] = map(_own_text, pieces[::2])
    encoded[1::2] = map(_value, pieces[1::2])
    return b"".join(encoded)


@lru_cache(maxsize=4096)  # a campaign has some fifty
def _own_text(text: str) -> bytes:
    return _encoded(text)


@lru_cache(maxsize=4096)  # goods and prices come again and again
def _value(text: str) -> bytes:
    return f"{text}=\r\n".encode("ascii") if _SHORT.fullmatch(text) else _encoded(text)


def _encoded(text: str) -> bytes:
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    *lines, last = binascii.b2a_qp(unix.encode("utf-8", "replace"), istext=True).split(b"\n")
    whole = [wrapped for line in lines for wrapped in _wrapped(line, 76)]
    if last:
        *begun, last = _wrapped(last, 75)
        whole += [*begun, last + b"="]
    return b"".join(line + b"\r\n" for line in whole)


def _wrapped(line: bytes, width: int) -> list[bytes]:
    """A line of b2a_qp, which overruns when a full line ends in a blank, within `width` and without a leading dot."""
    lines: list[bytes] = []
    while True:
        if line.startswith(b"."):
            line = b"=2E" + line[1:]
        if len(line) <= width:
            return [*lines, line]
        cut = line.find(b"=", 73, 75)
        cut = 75 if cut == -1 else cut
        lines.append(line[:cut] + b"=")
        line = line[cut:]


def _chunks(text: str) -> list[bytes]:
    """UTF-8 pieces of at most _WORD_BYTES that never split a character."""
    pieces, piece = [], b""
    for char in text:
        encoded = char.encode("utf-8")
        if len(piece) + len(encoded) > _WORD_BYTES:
            pieces.append(piece)
            piece = b""
        piece += encoded
    return [*pieces, piece]
