"""
Tokens of links in mails: a message id, sealed. They reveal nothing, never expire and are the same each time.

Synthetic-IV encryption from HMAC-SHA-256 alone: the tag authenticates the id and keys the stream that hides it. The
purpose of a token goes into both, so that a link for one thing is good for nothing else.
"""

import base64
import hmac
import os
import re
import secrets
from enum import StrEnum
from pathlib import Path
from uuid import UUID, uuid4

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

_SIZE = 16
_LEAST = 16  # characters of a secret


class Purpose(StrEnum):
    """What the link of a token is for."""

    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"
    CONFIRM = "confirm"  # a subscription, by whoever reads the mail
    ANSWER = "answer"  # to a survey
    VIEW = "view"  # the mail in a browser
    OPEN = "open"  # the picture that tells that a mail was opened
    CLICK = "click"


def signing_secrets(settings: Settings) -> tuple[bytes, ...]:
    """
    The secrets of tokens, newest first: the first one seals, all of them open.

    `PERENNIAL_SECRET`, several separated by commas; or a file made once and readable by its owner only, several as
    lines. The file is kept with the ledger and goes into its backup: without it the links in sent mail would be dead.
    Raises BadConfig when one is too short.
    """
    if settings.secret is not None:
        text = settings.secret.get_secret_value()
        source = "PERENNIAL_SECRET"
    else:
        path = settings.ledger_dir / "secret"
        if not path.exists():
            _make(path)
        text, source = path.read_text(encoding="utf-8").strip(), str(path)
    listed = [part.strip() for part in re.split(r"[,\n]", text)]
    if any(len(part) < _LEAST for part in listed):
        raise BadConfig(f"{source} is too short to sign links: each secret needs at least {_LEAST} characters.")
    return tuple(part.encode() for part in listed)


def signing_secret(settings: Settings) -> bytes:
    """The secret that seals new tokens."""
    return signing_secrets(settings)[0]


def seal(message_id: str, secret: bytes, purpose: Purpose = Purpose.UNSUBSCRIBE) -> str:
    """The token of a message: 43 characters, safe in a URL."""
    return _seal(message_id, secret, purpose, b"")


def unseal(token: str, *secrets: bytes, purpose: Purpose = Purpose.UNSUBSCRIBE) -> str | None:
    """The message id in a token of that purpose; None when the token is not one of ours."""
    opened = _open(token, secrets, purpose) if len(token) == 43 else None
    return opened[0] if opened else None


def seal_link(message_id: str, url: str, secret: bytes) -> str:
    """The token of a link in a message: the id hidden, the address only signed, so that it cannot be another's."""
    return _seal(message_id, secret, Purpose.CLICK, url.encode())


def unseal_link(token: str, *secrets: bytes) -> tuple[str, str] | None:
    """The message id and the address in the token of a link; None when the token is not one of ours."""
    opened = _open(token, secrets, Purpose.CLICK)
    return (opened[0], opened[1].decode()) if opened else None


def _seal(message_id: str, secret: bytes, purpose: Purpose, said: bytes) -> str:
    plain = UUID(message_id).bytes
    tag = _prf(secret, purpose, "tag", plain + said)
    sealed = tag + _xor(plain, _prf(secret, purpose, "stream", tag)) + said
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _open(token: str, secrets: tuple[bytes, ...], purpose: Purpose) -> tuple[str, bytes] | None:
    try:
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:  # of UnicodeEncodeError too
        return None
    tag, hidden, said = raw[:_SIZE], raw[_SIZE : 2 * _SIZE], raw[2 * _SIZE :]
    if len(hidden) < _SIZE:
        return None
    for secret in secrets:
        plain = _xor(hidden, _prf(secret, purpose, "stream", tag))
        if hmac.compare_digest(tag, _prf(secret, purpose, "tag", plain + said)):
            return str(UUID(bytes=plain)), said
    return None


def _prf(secret: bytes, purpose: Purpose, part: str, data: bytes) -> bytes:
    return hmac.digest(secret, f"perennial-{purpose}-{part}:".encode() + data, "sha256")[:_SIZE]


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(_SIZE)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(temporary)
    except FileExistsError:
        pass  # another process was quicker: its secret counts
    finally:
        temporary.unlink(missing_ok=True)
