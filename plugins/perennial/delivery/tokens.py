"""
Unsubscribe tokens: a message id, sealed. They reveal nothing, never expire and are the same each time.

Synthetic-IV encryption from HMAC-SHA-256 alone: the tag authenticates the id and keys the stream that hides it.
"""

import base64
import hmac
import os
import secrets
from pathlib import Path
from uuid import UUID, uuid4

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

_SIZE = 16
_LEAST = 16  # characters of a secret


def signing_secret(settings: Settings) -> bytes:
    """
    The secret that seals tokens: `PERENNIAL_SECRET`, or a file made once and readable by its owner only.

    The file is kept with the ledger and goes into its backup: without it the links in sent mail would be dead.
    Raises BadConfig when it is too short to be one.
    """
    if settings.secret is not None:
        secret = settings.secret.get_secret_value().encode()
        source = "PERENNIAL_SECRET"
    else:
        path = settings.ledger_dir / "secret"
        if not path.exists():
            _make(path)
        secret, source = path.read_bytes().strip(), str(path)
    if len(secret) < _LEAST:
        raise BadConfig(f"{source} is too short to sign links: it needs at least {_LEAST} characters.")
    return secret


def seal(message_id: str, secret: bytes) -> str:
    """The token of a message: 43 characters, safe in a URL."""
    plain = UUID(message_id).bytes
    tag = _prf(secret, b"tag", plain)
    return base64.urlsafe_b64encode(tag + _xor(plain, _prf(secret, b"stream", tag))).rstrip(b"=").decode()


def unseal(token: str, secret: bytes) -> str | None:
    """The message id in a token; None when the token is not one of ours."""
    if len(token) != 43 or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "=", altchars=b"-_", validate=True)
    except ValueError:
        return None
    tag, hidden = raw[:_SIZE], raw[_SIZE:]
    plain = _xor(hidden, _prf(secret, b"stream", tag))
    return str(UUID(bytes=plain)) if hmac.compare_digest(tag, _prf(secret, b"tag", plain)) else None


def _prf(secret: bytes, purpose: bytes, data: bytes) -> bytes:
    return hmac.digest(secret, b"perennial-unsubscribe-" + purpose + b":" + data, "sha256")[:_SIZE]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


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
