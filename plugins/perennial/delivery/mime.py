"""
One e-mail as bytes (RFC 5322), composed by hand: faster than `email`, and nothing a person wrote reaches a header raw.

Python 3.11's `email` lets a crafted name such as `=?UTF-8?Q?=0A?=Bcc:` inject a header (CVE-2024-6923). Here every
header value is either plain printable ASCII without `=?`, or encoded words made by us.
"""

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime, parseaddr
from functools import lru_cache

from perennial.foundation.errors import Permanent

MESSAGE_HEADER = "X-Perennial-Message"
MAX_BYTES = 1_000_000
_PLAIN = re.compile(r"[ -~]{0,66}")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]")
_WORD_BYTES = 39  # as base64 in an encoded word, after "Subject: ", within 76 columns


class Unsendable(Permanent):
    """One message cannot become an e-mail; the text names neither address nor content."""


@dataclass(frozen=True)
class Mail:
    """What an e-mail says. `sender` is `Name <address>`; `unsubscribe_url` brings the one-click headers (RFC 8058)."""

    message_id: str
    sender: str
    recipient: str
    date: datetime
    subject: str
    html: str
    text: str
    unsubscribe_url: str | None = None


def compose(mail: Mail) -> bytes:
    """
    The mail with a text and an HTML part, in ASCII with CRLF line ends, ready for SMTP.

    Raises Unsendable for a bad address or a mail above MAX_BYTES.
    """
    name, address = split_mailbox(mail.sender)
    boundary = f"=_{mail.message_id}"
    headers = [
        f"From: {format_mailbox(name, address)}",
        f"To: {clean_address(mail.recipient)}",
        f"Subject: {header_text(mail.subject)}",
        f"Date: {format_datetime(mail.date)}",
        f"Message-ID: <{mail.message_id}@{address.rpartition('@')[2]}>",
        f"{MESSAGE_HEADER}: {mail.message_id}",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"',
    ]
    if mail.unsubscribe_url is not None:
        if not re.fullmatch(r"[!-;=?-~]{1,900}", mail.unsubscribe_url):
            raise Unsendable("The unsubscribe link is no plain URL: check PERENNIAL_PUBLIC_URL.")
        headers.append(f"List-Unsubscribe: <{mail.unsubscribe_url}>")
        headers.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    parts = [
        f"--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: quoted-printable\r\n\r\n{quoted_printable(part)}\r\n"
        for kind, part in (("plain", mail.text), ("html", mail.html))
    ]
    content = "\r\n".join(headers) + "\r\n\r\n" + "".join(parts) + f"--{boundary}--\r\n"
    if len(content) > MAX_BYTES:
        raise Unsendable(f"The mail has {len(content)} bytes, more than {MAX_BYTES}.")
    return content.encode("ascii")


def header_text(value: str) -> str:
    """Free text as a header value: control characters become blanks; what is not plain becomes encoded words."""
    spaced = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") else char for char in value)
    cleaned = " ".join(spaced.split())
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


def quoted_printable(text: str) -> str:
    """Text in quoted-printable with CRLF line ends, at most 76 columns."""
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    encoded = binascii.b2a_qp(unix.encode("utf-8", "replace"), istext=True).decode("ascii")
    lines: list[str] = []
    for line in encoded.split("\n"):
        rest = line
        while len(rest) > 76:  # b2a_qp overruns when a full line ends in a blank
            cut = rest.find("=", 73, 75)
            cut = 75 if cut == -1 else cut
            lines.append(rest[:cut] + "=")
            rest = rest[cut:]
        lines.append(rest)
    return "\r\n".join(lines)


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
