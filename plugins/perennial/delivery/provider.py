"""What a provider is: one narrow port, one file each. To add one: implement `Provider`, name it in `open_provider`."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from perennial.foundation.settings import Settings


class Verdict(StrEnum):
    """What is known about a letter after the attempt."""

    ACCEPTED = "accepted"  # taken
    RETRY = "retry"  # provably not taken; may succeed later
    FAILED = "failed"  # refused for good
    UNKNOWN = "unknown"  # may have been taken: the connection died between the last byte and the answer


@dataclass(frozen=True)
class Letter:
    """One composed e-mail. `content` is ASCII, lines end in CRLF."""

    message_id: str
    sender: str  # envelope addresses
    recipient: str
    content: bytes


@dataclass(frozen=True)
class Result:
    """What became of one letter. `reply` holds no address."""

    message_id: str
    verdict: Verdict
    reply: str


HandOff = Callable[[str], None]  # told the message id right before its body leaves


class Provider(Protocol):
    """Somebody who takes letters."""

    name: str

    def send(self, letters: Iterable[Letter], hand_off: HandOff) -> Iterator[Result]:
        """
        Send in order, one result a letter. Raises Retryable or Permanent when it cannot go on.

        A letter without a result for which `hand_off` was not called was provably not taken.
        """

    def lookup(self, message_ids: Collection[str]) -> set[str] | None:
        """Which of these messages the provider holds; None where it cannot tell."""


def open_provider(settings: Settings) -> AbstractContextManager[Provider]:
    """The provider that `settings.delivery` names, not yet connected."""
    from perennial.delivery.mailbox import MailboxProvider
    from perennial.delivery.smtp import SmtpProvider, SmtpServer

    if settings.delivery == "mailbox":
        return MailboxProvider(settings)
    return SmtpProvider(SmtpServer.of(settings))
