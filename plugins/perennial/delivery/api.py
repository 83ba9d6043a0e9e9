"""
What providers with an HTTP API share: many letters in one request, and what its answer says about each of them.

Letters of the same texts go together, as one text with tags and each recipient's values for them. Tags are drawn anew
for each request, so that nothing a person is called can be taken for one.

    the answer                       the letters of the request
    taken                            accepted
    400 that names letters           those failed, the others go again
    400 that names none              go again by halves, until what it is about is alone
    408, 429, 503                    go again when the provider says, in the end retry
    401, 403 and any other 4xx       retry, and sending stops: it is about us
    any other 5xx, or none           unknown; retry where the request had not left whole
"""

import json
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from itertools import zip_longest
from typing import Any, Self

from perennial.delivery.connection import Answer, Connection, NoAnswer, NotTaken
from perennial.delivery.mime import MAX_BYTES, clean_address, unsubscribe_headers
from perennial.delivery.provider import HandOff, Mail, Result, Unsendable, Verdict, without_addresses
from perennial.foundation.errors import BadConfig, PerennialError, Permanent, Retryable
from perennial.templates.render import Pieces

AT_ONCE = 1_000  # recipients of one request
_VALUES_BYTES = 10_000  # of one recipient, as JSON: more than that SendGrid refuses
_BEGIN_WITH = 10  # recipients of the first request, ten times as many of the next: none may be answered
_STRIKES = 3  # requests in a row that break off or are put off: stop
_LATER = (408, 429, 503)
_PATIENCE = 60  # seconds to wait at most when the provider says so
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class ApiLetter:
    """A mail in its pieces, with a checked address and no character that mail cannot hold."""

    message_id: str
    recipient: str
    sender: str
    subject: Pieces
    html: Pieces
    text: Pieces
    headers: Mapping[str, str]

    @cached_property
    def shape(self) -> tuple[object, ...]:
        """What letters must have in common to go together."""
        return self.sender, *self.headers, self.subject[::2], self.html[::2], self.text[::2]


@dataclass(frozen=True)
class Merged:
    """
    Letters as one subject and body with tags, and for each letter its values by tag.

    What is the same for all of them stands in the text. `name` begins every tag and nothing else.
    """

    letters: Sequence[ApiLetter]
    name: str
    subject: str
    html: str
    text: str
    values: Sequence[Mapping[str, str]]


@dataclass
class _Outcome:
    """What one request came to: results, letters that go again, and one that was refused alone, but not by name."""

    results: list[Result] = field(default_factory=list)
    again: list[list[ApiLetter]] = field(default_factory=list)
    refused: list[Result] = field(default_factory=list)
    said: str = ""


class ValuesRefused(Exception):
    """The provider takes these letters, but not so many or so long values."""


class ApiProvider(ABC):
    """A provider's API on one connection. Subclasses know how its requests look and what its answers mean."""

    name: str
    title: str  # its name for people
    settings: str  # those by which it knows us, for errors
    at_once = AT_ONCE

    def __init__(self, connection: Connection, key: str) -> None:
        if not re.fullmatch("[!-~]+", key):
            raise BadConfig(
                f"PERENNIAL_{self.name.upper()}_API_KEY holds a blank, a line break or the like: it is no key."
            )
        self._connection = connection
        self._key = key
        self._room = _BEGIN_WITH
        self._strikes = 0
        self._wait = 0.0  # seconds, before the next request

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def lookup(self, message_ids: Collection[str]) -> set[str] | None:  # noqa: ARG002 - nobody to ask
        """Events tell what was taken, but late: that none came proves nothing."""
        return None

    def prepare(self, mail: Mail) -> ApiLetter:
        """The mail in its pieces; nothing leaves. Raises Unsendable for a bad address or a mail above MAX_BYTES."""
        size = sum(len(piece.encode(errors="replace")) for piece in (*mail.html, *mail.text))
        if size > MAX_BYTES:
            raise Unsendable(f"The mail has {size} bytes, more than {MAX_BYTES}.")
        return ApiLetter(
            message_id=mail.message_id,
            recipient=clean_address(mail.recipient),
            sender=mail.sender,
            subject=tuple(self._literal_line(_one_line(piece)) for piece in mail.subject),
            html=tuple(self._literal_html(_UNFIT.sub("\ufffd", piece)) for piece in mail.html),
            text=tuple(self._literal_line(_UNFIT.sub("\ufffd", piece)) for piece in mail.text),
            headers=unsubscribe_headers(mail),
        )

    def send(self, letters: Iterable[ApiLetter], hand_off: HandOff) -> Iterator[Result]:
        """
        Send the letters, in any order; see `Provider.send`.

        Raises Retryable when the provider cannot be reached, breaks off again and again or has us wait for long,
        BadConfig when it refuses us, Permanent when it refuses everything and says nothing.
        """
        for group in _groups(letters):
            left = group
            while left:
                part, left = left[: self._room], left[self._room :]
                yield from self._send_part(part, hand_off)

    def _send_part(self, part: list[ApiLetter], hand_off: HandOff) -> Iterator[Result]:
        todo = deque([part])
        refused: list[Result] = []
        try:
            while todo:
                outcome = self._request(todo[0], hand_off)
                todo.popleft()
                todo.extendleft(letters for letters in outcome.again if letters)
                refused += outcome.refused
                yield from outcome.results
                if self._strikes >= _STRIKES:
                    raise Retryable(f"{self._who} took nothing {_STRIKES} times in a row: {outcome.said}")
            if len(refused) == len(part) > 1:
                raise Permanent(f"{self._who} refuses each of {len(part)} mails, none by name: {refused[0].reply}")
        except PerennialError as error:  # nothing of what is left was taken, though it may have been handed over
            left = [letter.message_id for letters in todo for letter in letters]
            left += [result.message_id for result in refused]
            yield from (Result(message_id, Verdict.RETRY, str(error)) for message_id in left)
            raise
        yield from refused

    def _request(self, letters: list[ApiLetter], hand_off: HandOff) -> _Outcome:
        """One request, if it can be one. Raises PerennialError when it did not leave or was refused because of us."""
        merged = self._merged(letters)
        is_large = [_is_large(values) for values in merged.values]
        if any(is_large):  # alone it has no values: all of it is text
            judged = list(zip(letters, is_large, strict=True))
            together = [letter for letter, large in judged if not large]
            return _Outcome(again=[together, *([letter] for letter, large in judged if large)])
        self._keep_still()

        def leaving() -> None:
            for letter in letters:
                hand_off(letter.message_id)

        try:
            answer = self._post(merged, leaving)
        except NotTaken as broken:
            self._strikes += 1
            return self._all(letters, Verdict.RETRY, f"broke off before the request was whole: {broken}")
        except NoAnswer as broken:
            self._doubt()
            return self._all(letters, Verdict.UNKNOWN, f"no answer: {broken}")
        return self._judged(answer, letters)

    def _judged(self, answer: Answer, letters: list[ApiLetter]) -> _Outcome:
        said = f"{answer.status} {self._clean(self._said(answer))}".strip()
        self._wait = _told_to_wait(answer)
        if answer.status in _LATER:
            self._strikes += 1
            return _Outcome(again=[letters], said=said)
        if 200 <= answer.status < 300 and self._is_taken(answer):
            self._strikes, self._room = 0, min(self._room * 10, self.at_once)
            return self._all(letters, Verdict.ACCEPTED, said)
        if 200 <= answer.status < 300 or answer.status >= 500:
            self._doubt()
            return self._all(letters, Verdict.UNKNOWN, said)
        if answer.status not in (400, 413, 422):
            raise BadConfig(f"{self._who} refuses us: {said}. See {self.settings}.")
        self._strikes, self._room = 0, max(self._room, _BEGIN_WITH)
        return self._refused(answer, letters, said)

    def _refused(self, answer: Answer, letters: list[ApiLetter], said: str) -> _Outcome:
        """A request refused whole, because of some of its letters."""
        try:
            named = self._named(answer, len(letters))
        except ValuesRefused:
            if len(letters) > 1:
                return _Outcome(again=[[letter] for letter in letters])
            named = {}
        if named:
            results = [
                Result(letters[place].message_id, Verdict.FAILED, f"{answer.status} {self._clean(reason)}")
                for place, reason in named.items()
            ]
            return _Outcome(results, [[letter for place, letter in enumerate(letters) if place not in named]])
        if len(letters) == 1:
            return _Outcome(refused=[Result(letters[0].message_id, Verdict.FAILED, said)])
        half = len(letters) // 2
        return _Outcome(again=[letters[:half], letters[half:]])

    def _doubt(self) -> None:
        """The next request is one letter: should its answer be lost too, that is the only one."""
        self._strikes += 1
        self._room = 1

    def _all(self, letters: list[ApiLetter], verdict: Verdict, said: str) -> _Outcome:
        reply = self._clean(said)
        return _Outcome([Result(letter.message_id, verdict, reply) for letter in letters], said=reply)

    def _keep_still(self) -> None:
        if self._wait > _PATIENCE:
            raise Retryable(f"{self._who} takes no more for {self._wait:.0f} seconds.")
        time.sleep(self._wait)
        self._wait = 0

    def _merged(self, letters: list[ApiLetter]) -> Merged:
        name = f"x{secrets.token_hex(6)}"  # nobody can be called so: it is drawn after their names are known
        tags: dict[tuple[str, ...], str] = {}

        def text(parts: list[Pieces]) -> str:
            merged = []
            for own, column in zip_longest(parts[0][::2], zip(*(part[1::2] for part in parts), strict=True)):
                merged.append(own)
                if column and len(set(column)) == 1:
                    merged.append(column[0])
                elif column:
                    merged.append(self._tag(tags.setdefault(column, f"{name}n{len(tags)}e")))
            return "".join(merged)

        subject, html, body = (
            text([letter.subject for letter in letters]),
            text([letter.html for letter in letters]),
            text([letter.text for letter in letters]),
        )
        rows = zip(*tags, strict=True) if tags else ((),) * len(letters)
        return Merged(letters, name, subject, html, body, [dict(zip(tags.values(), row, strict=True)) for row in rows])

    @property
    def _who(self) -> str:
        return f"{self.title} ({self._connection.name})"

    def _clean(self, said: str) -> str:
        return without_addresses(said.replace(self._key, "<key>"))

    def _literal_line(self, text: str) -> str:
        """Plain text in which the provider expands nothing."""
        return text

    def _literal_html(self, text: str) -> str:
        """HTML in which the provider expands nothing."""
        return text

    @abstractmethod
    def _tag(self, name: str) -> str:
        """How the value `name` is asked for in a text."""

    @abstractmethod
    def _post(self, merged: Merged, before_it_leaves: Callable[[], None]) -> Answer:
        """Send one request; see `Connection.post`."""

    @abstractmethod
    def _said(self, answer: Answer) -> str:
        """What an answer says, for people."""

    @abstractmethod
    def _is_taken(self, answer: Answer) -> bool:
        """Whether a 2xx says that the letters were taken."""

    @abstractmethod
    def _named(self, answer: Answer, count: int) -> Mapping[int, str]:
        """
        Which of `count` letters a 4xx is about, by place, and why; none where it does not say.

        Raises ValuesRefused, and BadConfig when it is about us.
        """


def json_object(answer: Answer) -> dict[str, Any]:
    """The body of an answer; empty where it is no JSON object."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _groups(letters: Iterable[ApiLetter]) -> Iterator[list[ApiLetter]]:
    """Letters of one shape, no address twice; at most AT_ONCE are held at a time."""
    groups: dict[tuple[object, ...], dict[str, ApiLetter]] = {}
    held = 0
    for letter in letters:
        group = groups.setdefault(letter.shape, {})
        address = letter.recipient.lower()
        if address in group:
            held -= len(group)
            yield list(groups.pop(letter.shape).values())
            group = groups.setdefault(letter.shape, {})
        group[address] = letter
        held += 1
        if held == AT_ONCE:
            longest = max(groups, key=lambda shape: len(groups[shape]))
            held -= len(groups[longest])
            yield list(groups.pop(longest).values())
    yield from (list(group.values()) for group in groups.values())


def _is_large(values: Mapping[str, str]) -> bool:
    return len(json.dumps(values)) > _VALUES_BYTES


def _told_to_wait(answer: Answer) -> float:
    """Seconds until the next request may come, by the provider's own clock."""
    headers = answer.headers
    is_exhausted = headers.get("X-RateLimit-Remaining") == "0"
    if answer.status not in _LATER and not is_exhausted:
        return 0
    try:
        if "Retry-After" in headers:
            after = headers["Retry-After"]
            return (
                float(after)
                if after.isdecimal()
                else _seconds(headers["Date"], parsedate_to_datetime(after).timestamp())
            )
        return _seconds(headers["Date"], float(headers["X-RateLimit-Reset"]))
    except (TypeError, ValueError):
        return 1


def _seconds(now: str, then: float) -> float:
    return max(0, then - parsedate_to_datetime(now).timestamp())


def _one_line(text: str) -> str:
    """A piece of a header: no line breaks, and nothing that looks like an encoded word."""
    return _CONTROLS.sub(" ", text).replace("=?", "=\u2060?")
