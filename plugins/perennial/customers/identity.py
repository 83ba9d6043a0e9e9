"""By what rows are recognised as one person's: `include/rules/identity.yaml`."""

import hashlib
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings

Kind = Literal["email", "phone", "card", "device"]
_KINDS = ("ref", "email", "phone", "card", "device")


def name_of(identifier: str) -> str:
    """
    What an identifier is called where it may be read by anybody: `ref:7` as it is, others without what is personal.

    `core.links` says the same in SQL.
    """
    kind = identifier.partition(":")[0]
    if kind == "ref":
        return identifier
    return f"{kind}#{hashlib.md5(identifier.encode(), usedforsecurity=False).hexdigest()[:16]}"


def _identifier(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if kind not in _KINDS or not colon or not rest:
        raise ValueError(f"write it as one of {', '.join(f'{kind}:…' for kind in _KINDS)}")
    return text.lower() if kind == "email" else text


def _name(text: str) -> str:
    kind, hash_sign, digest = text.partition("#")
    if kind in _KINDS[1:] and hash_sign and len(digest) == 16:
        return text
    return name_of(_identifier(text))


class MailDomain(Document):
    """A provider at whom several spellings are one mailbox: what follows a `+` is always a tag."""

    ignores_dots: bool = False
    same_as: str | None = Field(default=None, description="The domain under which its mailboxes are known too.")


class Cut(Document):
    """A link between two identifiers that does not count, whatever rows name them together."""

    between: tuple[Annotated[str, AfterValidator(_name)], Annotated[str, AfterValidator(_name)]]
    why: str = Field(min_length=1)
    by: str = Field(min_length=1)
    day: date


class IdentityRules(Document):
    """Which identifiers connect rows to people, and which do not."""

    at_most: dict[Kind, Annotated[int, Field(ge=1)]] = Field(description="References that one identifier may have.")
    nobody: tuple[Annotated[str, AfterValidator(_identifier)], ...] = ()
    mail_domains: dict[str, MailDomain] = Field(default_factory=dict)
    cuts: tuple[Cut, ...] = ()


def load_identity_rules(settings: Settings) -> IdentityRules:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "identity.yaml"), IdentityRules)
