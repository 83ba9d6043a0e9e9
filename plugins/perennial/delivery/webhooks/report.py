"""What all webhooks have in common: events in our words, and arrays of which one bad element loses only itself."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from perennial.delivery.provider import MESSAGE_KEY

MAX_AGE = timedelta(hours=25)  # of a signature; providers try again for a day
_AHEAD = timedelta(minutes=10)  # how far clocks may differ
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_MILLISECONDS = 1e11  # a number of seconds is smaller until the year 5138
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ADDRESS = re.compile(r"[^\s<>\"',;:()]+@[^\s<>\"',;:()]+")
_LONGEST = 500  # characters of one detail
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[\[\]{},]', re.DOTALL)

Kind = Literal[
    "accepted",
    "deferred",
    "delivered",
    "dropped",
    "bounced",
    "soft_bounced",
    "opened",
    "clicked",
    "complained",
    "unsubscribed",
]
Event = Mapping[str, Any]


class Forged(Exception):
    """Not signed by the provider, or too long ago."""


class NotOurs(Exception):
    """No event about a message of ours: why."""


@dataclass(frozen=True)
class Reported:
    """Something that happened to a message, in our words. `details` names no address."""

    event_id: str
    message_id: str
    kind: Kind
    occurred_at: datetime
    machine: bool = False
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Aside:
    """What is no such thing, as it came."""

    reason: str
    body: str


@dataclass(frozen=True)
class Report:
    """What one request told."""

    events: list[Reported]
    aside: list[Aside]


def report(elements: Iterable[object], understand: Callable[[Event], Reported]) -> Report:
    """Each element as an event, or kept aside: one of `elements_of`, or for the reason that `understand` raises."""
    found = Report([], [])
    for element in elements:
        try:
            if isinstance(element, Aside):
                found.aside.append(element)
            elif isinstance(element, dict):
                found.events.append(understand(element))
            else:
                raise NotOurs("not_an_event")
        except NotOurs as error:
            found.aside.append(Aside(str(error), json.dumps(element)))
    return found


def elements_of(body: bytes) -> Iterator[object]:
    """
    The elements of a JSON array; an Aside for one that cannot be read.

    Split by their brackets where the whole cannot be read, without recursion, so that it does not matter what is in
    one of them or how deep it goes. What is no array is one element.
    """
    text = body.decode("utf-8", "replace")
    try:
        elements = json.loads(text)
    except (ValueError, RecursionError):
        for piece in _split(text):
            try:
                yield json.loads(piece)
            except (ValueError, RecursionError):
                yield Aside("not_json", piece)
        return
    yield from elements if isinstance(elements, list) else [elements]


def _split(text: str) -> Iterator[str]:
    inner = text.strip()
    if not inner.startswith("["):
        yield text
        return
    depth, start = 0, 1
    for match in _STRUCTURE.finditer(inner):
        mark = match[0]
        if mark in ("[", "{"):
            depth += 1
        elif mark in ("]", "}"):
            depth -= 1
        if (mark == "," and depth == 1) or depth == 0:
            if piece := inner[start : match.start()].strip():
                yield piece
            start = match.end()
        if depth == 0:
            break
    if rest := inner[start:].strip():
        yield rest


def message_id_in(values: object) -> str:
    """Our message id among what the mail carried. Raises NotOurs where there is none."""
    found = values.get(MESSAGE_KEY) if isinstance(values, Mapping) else None
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise NotOurs("no_message")
    return found


def moment(value: object) -> datetime:
    """Seconds since 1970 as providers write them: number or text, sometimes milliseconds. Raises NotOurs."""
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
        if seconds > _MILLISECONDS:
            seconds /= 1000
        when = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise NotOurs("bad_time") from None
    if when < _EARLIEST:
        raise NotOurs("bad_time")
    return when


def event_id(provider: str, given: object, event: Event) -> str:
    """The provider's id of an event, else one made of what it says."""
    if isinstance(given, str) and given:
        return f"{provider}:{given[:_LONGEST]}"
    said = json.dumps(event, sort_keys=True)
    return f"{provider}:{hashlib.sha256(said.encode()).hexdigest()}"


def details(**told: object) -> dict[str, str]:
    """What is worth keeping of an event: short texts without addresses; empty ones are left out."""
    texts = {name: str(value) for name, value in told.items() if isinstance(value, (str, int, float)) and value != ""}
    return {
        name: text[:_LONGEST] if name == "url" else _ADDRESS.sub("…", text)[:_LONGEST] for name, text in texts.items()
    }


def require_recent(timestamp: str, now: datetime) -> None:
    """Raises Forged for a time of signing that is none, or not about now."""
    if len(timestamp) != 10 or not (timestamp.isascii() and timestamp.isdigit()):
        raise Forged("The timestamp is not ten digits.")
    age = now - datetime.fromtimestamp(int(timestamp), UTC)
    if not -_AHEAD < age < MAX_AGE:
        raise Forged("The signature is too old, or of the future.")
