"""
Reports of mail servers: a mail could not be delivered (DSN, RFC 3464), or somebody complained of one (ARF, RFC 5965).

Anybody may write to a bounce mailbox, so nothing here trusts what it reads: size and nesting are limited, headers are
taken as plain text, and of a report nothing is kept but what it means for a message of ours.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesParser, HeaderParser
from email.policy import compat32
from email.utils import parsedate_to_datetime
from typing import Literal

from perennial.delivery.mime import MESSAGE_HEADER

MAX_BYTES = 1_000_000  # read of one file: the reports come first, the returned mail may be cut
_NESTED = re.compile(rb"^content-type:[ \t\r\n]*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)
_MAX_NESTED = 20
_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_MESSAGE_ID = re.compile(rf"<({_ID})@[^<>\s]+>")
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_UNSPECIFIED = re.compile(r"[245]\.0\.0")
_NO_COMPLAINT = ("not-spam", "auth-failure")  # taken back; about signatures, RFC 6591

Meaning = Literal["failed", "delayed", "delivered", "complaint", "nothing"]
_ACTIONS: dict[str, Meaning] = {"failed": "failed", "delayed": "delayed", "delivered": "delivered"}  # the worst first


@dataclass(frozen=True)
class Report:
    """
    One report about one mail: which (None: it does not say), what it means, and when it happened, if it says so.

    `status` is the enhanced status code of a failure. `nothing` is what asks nothing of us, such as "not spam".
    """

    format: Literal["dsn", "arf"]
    meaning: Meaning
    message_id: str | None
    status: str | None
    occurred_at: datetime | None


def read_report(content: bytes) -> Report | None:
    """The report in a mail; None for a mail that is none, or that nests too deep to be a real one."""
    content = content[:MAX_BYTES]
    if len(_NESTED.findall(content)) > _MAX_NESTED:
        return None
    try:
        mail = BytesParser(policy=compat32).parsebytes(content)
        if mail.get_content_type() != "multipart/report":
            return None
        parts = list(mail.walk())
    except (RecursionError, ValueError, LookupError):  # what no mail server writes
        return None
    message_id = next(_named(mail, parts), None)
    for part in parts:
        if part.get_content_type() == "message/delivery-status":
            return _delivery_status(mail, _blocks(part), message_id)
        if part.get_content_type() == "message/feedback-report":
            return _feedback(mail, _blocks(part), message_id)
    return None


def _delivery_status(mail: Message, blocks: list[Message], message_id: str | None) -> Report:
    """The worst of what is said about the receivers; one mail of ours has one."""
    found: dict[Meaning, tuple[str | None, datetime | None]] = {}
    for block in blocks:
        if action := _ACTIONS.get(_text(block, "Action").lower()):
            found.setdefault(action, (_status(block), _moment(block, "Last-Attempt-Date")))
    meaning: Meaning = next((action for action in _ACTIONS.values() if action in found), "nothing")
    nothing: tuple[str | None, datetime | None] = (None, None)
    status, occurred_at = found.get(meaning, nothing)
    return Report("dsn", meaning, message_id, status, occurred_at or _moment(mail, "Date"))


def _feedback(mail: Message, blocks: list[Message], message_id: str | None) -> Report:
    kinds = [_text(block, "Feedback-Type").lower() for block in blocks if block["Feedback-Type"]]
    meaning: Meaning = "complaint" if kinds and kinds[0] not in _NO_COMPLAINT else "nothing"
    arrived = (_moment(block, "Arrival-Date") or _moment(block, "Received-Date") for block in blocks)
    return Report("arf", meaning, message_id, None, next(filter(None, arrived), None) or _moment(mail, "Date"))


def _status(block: Message) -> str | None:
    """The status of a receiver; where it says no more than its class, the one that the other server gave."""
    said = _STATUS.search(_text(block, "Status"))
    diagnosed = _STATUS.search(_text(block, "Diagnostic-Code"))
    if diagnosed and (said is None or _UNSPECIFIED.fullmatch(said[1])):
        return diagnosed[1]
    return said[1] if said else None


def _named(mail: Message, parts: list[Message]) -> Iterator[str]:
    """The ids of mails of ours that the report names, the likeliest first: in the returned headers, then in its own."""
    for part in parts[1:]:
        headers = _returned_headers(part)
        if headers is not None:
            ours = _text(headers, MESSAGE_HEADER)
            if re.fullmatch(_ID, ours):
                yield ours
            yield from _MESSAGE_ID.findall(_text(headers, "Message-ID"))
    for name in ("In-Reply-To", "References"):
        yield from _MESSAGE_ID.findall(_text(mail, name))


def _returned_headers(part: Message) -> Message | None:
    """The headers of the mail that came back, where this part has them."""
    if part.get_content_type() == "message/rfc822":
        return next(iter(_blocks(part)), None)
    if part.get_content_type() == "text/rfc822-headers":
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
        return HeaderParser(policy=compat32).parsestr(text)
    return None


def _blocks(part: Message) -> list[Message]:
    """The groups of fields of a machine-readable part, or the one mail in a part that is one."""
    payload = part.get_payload()
    return [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []


def _text(message: Message, name: str) -> str:
    return " ".join(str(message.get(name, "")).split())


def _moment(message: Message, name: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(_text(message, name))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
