"""
Collections of a WooCommerce shop, by its REST API (wc/v3): what is new since the last pull, page by page.

Each page is landed as it came, packed and no more. Where a pull starts is read from the pages that have landed; there
is no other state: a page is named by the newest moment that had come by then. A page is asked for by the moment after
which it begins, never by its place: what changes meanwhile moves to the end of the list, and all behind it move up. A
row is known by its number and moment, and a page of known rows is nothing new.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util import Retry

from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig, BadData, Retryable
from perennial.foundation.settings import Settings
from perennial.sources.arrival import Arrival, Stamp
from perennial.sources.connections import connection_url
from perennial.sources.definition import Source, WooCommerce

_ROWS = 100  # of a page: the most that WooCommerce gives
_BEGUN_AGAIN = 10  # times, before a list that changes under our hands is left for later
_TIMEOUT = (10, 60)  # seconds until it is connected, and without a word
_RETRY = Retry(
    6,
    backoff_factor=1,
    backoff_max=30,
    retry_after_max=120,
    status_forcelist=(408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524),
)
_HERE = ("localhost", "127.0.0.1", "::1")
_SECOND = timedelta(seconds=1)
_TURN = timedelta(hours=1)  # by which clocks are put back
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = "%Y-%m-%dT%H:%M:%S"  # without an offset: WordPress would turn one into the shop's own time
_FILE_MOMENT = "%Y-%m-%dT%H%M%SZ"

Row = tuple[int, datetime]
"""Number and moment of a row."""


@dataclass(frozen=True)
class _Dated:
    """How a collection is asked for what is new: the parameters that say so, and the field of a row that tells."""

    after: str
    orderby: str
    field: str


_MODIFIED = _Dated("modified_after", "modified", "date_modified_gmt")
_DATED = {
    "orders": _MODIFIED,
    "products": _MODIFIED,
    "coupons": _MODIFIED,
    "refunds": _Dated("after", "date", "date_created_gmt"),  # they do not change, and tell no other time
}
"""The others, customers above all, cannot be asked so: they are pulled whole."""


def pages_of_shop(
    source: Source, shop: WooCommerce, landed: Mapping[str, Path | None], settings: Settings
) -> Iterator[Arrival]:
    """
    The pages that have anything new, in the order in which it happened; what came before it broke off is kept.

    `landed` has no copy of a page that was pseudonymised: its rows are not known any more. A collection that cannot be
    asked for what is new is one file, all of it, of which a change is a new version; none where it is empty, which is
    sooner a mistake. Raises BadConfig for what cannot be pulled as the source file says, BadData for an answer that is
    none, Retryable when the shop does not answer.
    """
    with _Collection(source, shop, settings) as collection:
        if dated := _DATED.get(shop.resource):
            yield from _new_pages(collection, dated, landed, settings)
        else:
            yield from _whole(collection, settings)


def _new_pages(
    collection: "_Collection", dated: _Dated, landed: Mapping[str, Path | None], settings: Settings
) -> Iterator[Arrival]:
    folder = f"woocommerce/{collection.source.name}/"
    files = sorted((file for file in landed if file.startswith(folder)), reverse=True)
    newest, number = _told_by(files[0]) if files else (_NEVER, 0)
    after = newest - collection.shop.overlap - _SECOND if files else _NEVER
    copies = [landed[file] for file in files if _told_by(file)[0] > after]
    known = {row for copy in copies if copy for row in _landed_rows(copy, dated)}
    offset = begun_again = 0
    last: Row | None = None
    turning = _NEVER
    while True:
        since = {dated.after: after.strftime(_MOMENT), "dates_are_gmt": "true"} if after > _NEVER else {}
        page = collection.page(offset=offset, orderby=dated.orderby, **since)
        rows = _rows(page.rows, dated, f"{collection.field}.resource: {collection.shop.resource!r}")
        if since and any(moment <= after for _, moment in rows):
            raise BadConfig(
                f"{collection.field}.resource: the shop is too old to be asked for {collection.shop.resource} by "
                f"{dated.after}. Update its WooCommerce."
            )
        if offset and rows[:1] != [last]:  # one of this second has changed, and all behind it moved up
            offset, begun_again = 0, begun_again + 1
            if begun_again > _BEGUN_AGAIN:
                raise collection.too_fast()
            continue
        if not known.issuperset(rows):
            # Named by a moment that is still to come, it would hide all until then.
            came = max(newest, min(_newest(rows), current_time(settings).replace(microsecond=0)))
            newest, number = came, number + 1 if came == newest else 1
            yield _packed(f"{folder}{newest.strftime(_FILE_MOMENT)}-{number:06}.json.gz", page.body)
        if page.total <= offset + _ROWS:
            return
        known.update(rows)
        upto = _newest(rows) - _SECOND  # the next one begins with all of the last second …
        if _clock_turns(page.rows, dated):
            turning = _newest(rows) + _TURN
        if _newest(rows) <= turning:  # … and where posts are sorted by a local time that comes twice, with all of that
            upto -= _TURN
        if upto > after:
            after, offset = upto, 0
            known = {row for row in known if row[1] > after}
        else:  # which may be more than a page: with the last row of this one
            offset, last = offset + _ROWS - 1, rows[-1]


def _told_by(file: str) -> tuple[datetime, int]:
    """The newest moment that had come with this page, and its number among those that this is true of."""
    moment, _, number = file.rpartition("/")[2].removesuffix(".json.gz").rpartition("-")
    return datetime.strptime(moment, _FILE_MOMENT).replace(tzinfo=UTC), int(number)


def _newest(rows: list[Row]) -> datetime:
    return max(moment for _, moment in rows)


def _rows(rows: list[dict[str, Any]], dated: _Dated, where: str) -> list[Row]:
    try:
        return [(int(row["id"]), _moment(row[dated.field])) for row in rows]
    except (KeyError, TypeError, ValueError):
        raise BadData(f"{where}: a row has no id or {dated.field}, by which it is told from others.") from None


def _clock_turns(rows: list[dict[str, Any]], dated: _Dated) -> bool:
    local = dated.field.removesuffix("_gmt")
    return len({_moment(row[dated.field]) - _moment(row[local]) for row in rows if row.get(local)}) > 1


def _moment(written: str | None) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=UTC) if written else _NEVER


def _landed_rows(path: Path, dated: _Dated) -> list[Row]:
    try:
        return _rows(json.loads(gzip.decompress(path.read_bytes())), dated, str(path))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise BadData(f"{path} is gone or damaged ({error}). Restore the landing from its backup.") from error


def _packed(file: str, body: bytes) -> Arrival:
    packed = gzip.compress(body, mtime=0)
    return Arrival(file, partial(Stamp, len(packed)), partial(BytesIO, packed))


def _whole(collection: "_Collection", settings: Settings) -> Iterator[Arrival]:
    """All pages as one array, so that rows that are gone go with the version before."""
    pulled = settings.landing_dir / collection.source.name / ".pulling"
    try:
        for _ in range(_BEGUN_AGAIN):
            with pulled.open("wb") as plain, gzip.GzipFile("", "wb", fileobj=plain, mtime=0) as writing:
                rows = _write_all(collection, writing)
            if rows is not None:
                if rows:
                    yield Arrival.of(pulled, f"woocommerce/{collection.source.name}.json.gz")
                return
    except OSError as error:
        raise Retryable(f"Source {collection.source.name}: {pulled} cannot be written: {error}") from error
    finally:
        pulled.unlink(missing_ok=True)
    raise collection.too_fast()


def _write_all(collection: "_Collection", writing: gzip.GzipFile) -> int | None:
    """Write the pages; how many rows. None where one went meanwhile, and others moved up to where nobody looks."""
    written = total = offset = 0
    while not offset or offset < total:
        page = collection.page(offset=offset, orderby="id")
        if page.total < total:
            return None
        content = page.body[page.body.index(b"[") + 1 : page.body.rindex(b"]")]
        writing.write((b"," if offset else b"[") + content)
        total, written = page.total, written + len(page.rows)
        offset += max(_ROWS, len(page.rows))  # some collections know no pages
    writing.write(b"]")
    return written


@dataclass(frozen=True)
class _Page:
    """One answer: its body, the rows in it, and how many rows there are in all by what was asked for."""

    body: bytes
    rows: list[dict[str, Any]]
    total: int


class _Collection:
    """One collection of one shop. What it raises shows nothing of the key, and of an answer only its error's name."""

    def __init__(self, source: Source, shop: WooCommerce, settings: Settings) -> None:
        self.source = source
        self.shop = shop
        self.field = f"{source.file}: field woocommerce"
        self._connection = f"{self.field}.connection: {shop.connection!r}"
        address, key = self._address(connection_url(self._connection, shop.connection, settings))
        self._url = f"{address}/wp-json/wc/v3/{shop.resource}"
        self._session = requests.Session()
        self._session.auth = key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def page(self, *, offset: int, orderby: str, **since: str) -> _Page:
        """A hundred rows, from `offset` on. Asks a few times, ever later, while the shop gives no whole answer."""
        asked = {
            **self.shop.parameters,
            **since,
            "orderby": orderby,
            "order": "asc",
            "per_page": _ROWS,
            "offset": offset,
        }
        retry = _RETRY
        while True:
            answer = None
            try:
                answer = self._session.get(self._url, params=asked, timeout=_TIMEOUT, allow_redirects=False)
                if answer.status_code not in _RETRY.status_forcelist:
                    return self._read(answer, offset)
                said = f"HTTP {answer.status_code}"
            except (requests.ConnectionError, requests.Timeout, ChunkedEncodingError, ContentDecodingError) as error:
                said = type(error).__name__  # in its own words it may repeat what was sent
            except requests.RequestException as error:
                raise BadConfig(f"{self._connection} cannot be used ({type(error).__name__}).") from None
            try:
                retry = retry.increment()
                retry.sleep(answer.raw if answer is not None else None)
            except InvalidHeader:
                retry.sleep()
            except MaxRetryError:
                raise Retryable(
                    f"Source {self.source.name}: {self._url} gives no whole answer ({said}). What came before is kept, "
                    "and the next pull goes on behind it."
                ) from None

    def too_fast(self) -> Retryable:
        return Retryable(f"Source {self.source.name}: {self._url} changes faster than it can be read. Try it later.")

    def _read(self, answer: requests.Response, offset: int) -> _Page:
        """Raises BadConfig for a refusal, BadData for what is no page, ChunkedEncodingError for one that broke off."""
        resource = f"{self.field}.resource: {self.shop.resource!r}"
        status = f"{answer.status_code}{_error_name(answer)}"
        if answer.status_code in (401, 403):
            raise BadConfig(f"{self._connection}: the shop refuses the key ({status}). It must be one that may read.")
        if answer.is_redirect:
            there = urlsplit(answer.headers["Location"])
            raise BadConfig(
                f"{self._connection}: the shop has moved to {there.scheme}://{there.hostname}{there.path}. Correct the "
                "URL."
            )
        if answer.status_code == 404:
            raise BadConfig(
                f"{resource} is not found at {self._url} ({status}). Is it a collection of wc/v3, is the shop there, "
                "and are its permalinks others than plain ones?"
            )
        if answer.status_code != 200:
            raise BadConfig(f"{resource} cannot be asked for so ({status}); parameters: {self.shop.parameters}.")
        body, counted = answer.content, answer.headers.get("X-WP-Total", "")
        try:
            rows = json.loads(body)
        except ValueError:
            if body.lstrip().startswith(b"["):
                raise ChunkedEncodingError from None
            rows = None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            kind = answer.headers.get("Content-Type", "nothing said").partition(";")[0]
            raise BadData(f"{resource}: {self._url} gives no JSON array of objects ({kind[:50]}).")
        if not counted.isdecimal() and len(rows) == _ROWS:
            raise BadData(f"{resource}: {self._url} tells no total (X-WP-Total), so whether more come is not known.")
        total = int(counted) if counted.isdecimal() else offset + len(rows)
        if not rows and total > offset:
            raise BadConfig(f"{resource}: the shop shows none of {total} rows. May the user of the key read them?")
        return _Page(body, rows, total)

    def _address(self, url: str) -> tuple[str, tuple[str, str]]:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https") or not parts.username or not parts.password:
            raise BadConfig(
                f"{self._connection} has no URL such as https://ck_…:cs_…@shop.example/ with the consumer key and "
                "secret of the shop's REST API. Percent-encode what is special in them."
            )
        if parts.scheme == "http" and host not in _HERE:
            raise BadConfig(
                f"{self._connection}: {host} is to be asked by http, which shows the key to everybody on the way, and "
                "WooCommerce does not take it so. Use https."
            )
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        return address, (unquote(parts.username), unquote(parts.password))


def _error_name(answer: requests.Response) -> str:
    """`, woocommerce_rest_cannot_view` or so; nothing where it is no name: a text may repeat what was sent."""
    with suppress(ValueError, AttributeError):
        if re.fullmatch("[a-z0-9_]{1,80}", name := answer.json().get("code") or ""):
            return f", {name}"
    return ""
