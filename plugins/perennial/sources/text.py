"""Bytes to plain UTF-8 text: compression, encodings and byte-order marks; what is not text is refused."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from perennial.foundation.errors import BadData

_CHUNK = 1 << 20
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decompress(path: Path, name: str, target: Path) -> Path:
    """
    The file's plain bytes: `path` itself, or `target` written from a .gz or .zst.

    Raises BadData for a truncated or damaged archive.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in (".gz", ".zst"):
        return path
    done = 0
    try:
        with _open_compressed(path, suffix) as reading, target.open("wb") as writing:
            while chunk := reading.read(_CHUNK):
                done += writing.write(chunk)
    except (EOFError, OSError, zlib.error) as error:
        raise BadData(
            f"{name}: the {suffix} archive is truncated or damaged after {done} readable bytes of content ({error}). "
            "Nothing of it was loaded; deliver the whole file again."
        ) from error
    return target


def plain_text(path: Path, name: str, encodings: tuple[str, ...], target: Path) -> Path:
    """
    The file as UTF-8 without a byte-order mark: `path` itself, or `target` written in UTF-8.

    The first of `encodings` that fits the whole file counts; a byte-order mark outranks them. Raises BadData for a
    file that fits none and for one that is not text.
    """
    with path.open("rb") as reading:
        start = reading.read(4)
    if start.startswith(_UTF16_MARKS):
        encodings = ("utf-16",)
    problems = []
    for encoding in encodings:
        codec = codecs.lookup(encoding).name
        if codec == "utf-8" and not start.startswith(codecs.BOM_UTF8):
            problem = _problem(path, "utf-8", None)
            result = path
        else:
            problem = _problem(path, "utf-8-sig" if codec == "utf-8" else codec, target)
            result = target
        if problem is None:
            return result
        problems.append(f"{encoding}: {problem}")
    raise BadData(
        f"{name}: not readable as text ({'; '.join(problems)}). Nothing of it was loaded; deliver it as text, or add "
        "its encoding to the source's `encodings`."
    )


def _problem(path: Path, encoding: str, target: Path | None) -> str | None:
    """Decode all of `path`, writing UTF-8 to `target` if there is one; what is wrong and where, or None."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = lines = 0
    with path.open("rb") as reading, (target or Path("/dev/null")).open("wb") as writing:
        while True:
            chunk = reading.read(_CHUNK)
            held = len(decoder.getstate()[0])  # bytes of a character cut by the chunk before
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                at = max(error.start - held, 0)
                line = lines + chunk[:at].count(b"\n") + 1
                return f"byte {offset + error.start - held} in line {line} is 0x{error.object[error.start]:02x}"
            nul = text.find("\0")
            if nul >= 0:
                line = lines + text.count("\n", 0, nul) + 1
                return f"a NUL byte in line {line}: this is binary data"
            if target:
                writing.write(text.encode())
            if not chunk:
                return None
            offset += len(chunk)
            lines += text.count("\n")


def _open_compressed(path: Path, suffix: str) -> BinaryIO:
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(path))
    return cast(BinaryIO, pa.input_stream(str(path), compression="zstd"))


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends as written."""
    with path.open(encoding="utf-8", newline="") as reading:
        yield from reading
