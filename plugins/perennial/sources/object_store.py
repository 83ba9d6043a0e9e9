"""
Files in object storage and wherever else fsspec reaches, by URL.

S3 (`s3://`) comes with Perennial; for others (`gs://`, `abfs://`, `sftp://`) install what fsspec asks for. Who we are
is told as each of them has it (for S3 the AWS_… variables, profiles and roles), never in the source file.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO

from perennial.foundation.errors import BadConfig, Retryable
from perennial.sources.arrival import Arrival, Stamp
from perennial.sources.definition import Source

_TIMES = ("LastModified", "last_modified", "mtime", "updated")
_TAGS = ("ETag", "etag", "generation", "md5Hash")


def files_at_url(source: Source) -> Iterator[Arrival]:
    """
    What lies where `url` says, in the order of the names; a name is the whole path, bucket included.

    Raises BadConfig where the place cannot be used as it is described, Retryable where it does not answer.
    """
    import fsspec

    try:
        # Listings are kept in memory otherwise, and a file that changed since would look as it was.
        files, pattern = fsspec.url_to_fs(
            source.url, use_listings_cache=False, skip_instance_cache=True, **source.options
        )
        found = files.glob(pattern, detail=True)
    except (ImportError, ValueError, TypeError) as error:
        raise BadConfig(f"{source.file}: field url: {source.url!r} cannot be used: {error}") from error
    except PermissionError as error:
        raise BadConfig(f"{source.file}: field url: {source.url!r} may not be listed: {error}") from error
    except Exception as error:  # each kind of storage has errors of its own
        raise Retryable(f"Source {source.name}: {source.url} cannot be listed: {error}") from error
    for path, about in sorted(found.items()):
        if about["type"] == "file" and not path.rpartition("/")[2].startswith("."):
            yield Arrival(path, partial(_stamp, files, path), partial(_open, files, path))


def _stamp(files: Any, path: str) -> Stamp:
    try:
        about = files.info(path)
    except OSError:
        raise
    except Exception as error:
        raise OSError(str(error)) from error
    written = next((about[name] for name in _TIMES if about.get(name)), None)
    moment = written.timestamp() if isinstance(written, datetime) else float(written or 0)
    tag = next((str(about[name]) for name in _TAGS if about.get(name)), None)
    return Stamp(about["size"], int(moment * 1_000_000) * 1_000, tag)


def _open(files: Any, path: str) -> BinaryIO:
    opened: BinaryIO = files.open(path, "rb")
    return opened
