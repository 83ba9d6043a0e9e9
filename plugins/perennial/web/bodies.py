"""Bodies of requests, read within limits whatever their headers say."""

import asyncio
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request

_SECONDS = 30
_CLOSING = {"Connection": "close"}  # what else is on its way is not read
MAX_FORM = 40_000  # bytes; a comment of 2,000 Chinese characters has 18,000
MAX_FIELDS = 100


async def read_body(request: Request, limit: int) -> bytes:
    """The body as it came. Refuses what is longer than `limit` bytes before it is all here, compressed or slow."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "Compressed bodies are not taken.", _CLOSING)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise HTTPException(413, "Too large.", _CLOSING)
    parts, size = [], 0
    try:
        async with asyncio.timeout(_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise HTTPException(413, "Too large.", _CLOSING)
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, "Too slow.", _CLOSING) from None
    return b"".join(parts)


async def read_form(request: Request) -> dict[str, list[str]]:
    """The fields of a form that a browser sends, each with its values."""
    body = await read_body(request, MAX_FORM)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise HTTPException(400, "This is no form.") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields
