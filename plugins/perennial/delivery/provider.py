"""What a provider is: one narrow port, one file each. To add one: implement `Provider`, name it in `open_provider`."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from perennial.foundation.errors import Permanent
from perennial.foundation.settings import Settings
from perennial.templates.render import Pieces

MESSAGE_KEY = "perennial_message"  # under which a provider is given our message id, and says it again in its events

_ADDRESS = re.compile(r"[^\s<>\"'\[\]():,;]+@[^\s<>\"'\[\]():,;]+")


class Verdict(StrEnum):
    """What is known about a letter after the attempt."""

    ACCEPTED = "accepted"  # taken
    RETRY = "retry"  # provably not taken; may succeed later
    FAILED = "failed"  # refused for good
    UNKNOWN = "unknown"  # may have been taken: the connection died between the last byte and the answer


class Unsendable(Permanent):
    """One message cannot become an e-mail; the text names neither address nor content."""


@dataclass(frozen=True)
class Mail:
    """What an e-mail says. `sender` is `Name <address>`; `unsubscribe_url` brings the one-click headers (RFC 8058)."""

    message_id: str
    campaign: str
    sender: str
    recipient: str
    date: datetime
    subject: Pieces
    html: Pieces
    text: Pieces
    unsubscribe_url: str | None = None


class Letter(Protocol):
    """A mail as its provider takes it; each provider has its own."""

    @property
    def message_id(self) -> str: ...


@dataclass(frozen=True)
class Result:
    """What became of one letter. `reply` holds no address."""

    message_id: str
    verdict: Verdict
    reply: str


def without_addresses(said: str) -> str:
    """What a provider said on one line, each address in it left out: it may name whom a mail is forwarded to."""
    return _ADDRESS.sub("<address>", " ".join(said.split()))[:500]


HandOff = Callable[[str], None]  # told the message id right before its body leaves


LetterT = TypeVar("LetterT", bound=Letter)


class Provider(Protocol[LetterT]):
    """Somebody who takes letters."""

    name: str
    at_once: int  # letters that it is given at a time: what may be unknown when a worker is killed

    def prepare(self, mail: Mail) -> LetterT:
        """The mail as a letter; nothing leaves. Raises Unsendable."""

    def send(self, letters: Iterable[LetterT], hand_off: HandOff) -> Iterator[Result]:
        """
        Send in order, one result a letter. Raises Retryable or Permanent when it cannot go on.

        A letter without a result for which `hand_off` was not called was provably not taken.
        """

    def lookup(self, message_ids: Collection[str]) -> set[str] | None:
        """Which of these messages the provider holds; None where it cannot tell."""


def open_provider(name: str, settings: Settings) -> AbstractContextManager[Provider[Any]]:
    """The provider of that name (a value of `settings.delivery`), not yet connected. Raises BadConfig."""
    if name == "mailbox":
        from perennial.delivery.mailbox import MailboxProvider

        return MailboxProvider(settings)
    if name == "smtp":
        from perennial.delivery.smtp import SmtpProvider, SmtpServer

        return SmtpProvider(SmtpServer.of(settings))
    if name == "sendgrid":
        from perennial.delivery.sendgrid import SendGridProvider

        return SendGridProvider(settings)
    from perennial.delivery.mailgun import MailgunProvider

    return MailgunProvider(settings)
