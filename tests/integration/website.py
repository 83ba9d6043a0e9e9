"""The public web app behind a real server, and how tests talk to it."""

import threading
import time
from contextlib import closing, contextmanager
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import uvicorn

from perennial.web.app import create_app


@contextmanager
def served(settings):
    """The app on a port of its own, in a thread; its address."""
    config = uvicorn.Config(create_app(settings), host="127.0.0.1", port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


class _Stays(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


_OPENER = build_opener(_Stays)


def call(url, body=None, method=None, **headers):
    """Status, text and headers of the answer; redirects are not followed. A dict is sent as a form."""
    assert urlsplit(url).hostname == "127.0.0.1"
    if isinstance(body, dict):
        body = urlencode(body, doseq=True).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(url, data=body, headers=named, method=method)  # noqa: S310
    try:
        with _OPENER.open(request, timeout=20) as response:
            return response.status, response.read().decode(errors="replace"), response.headers
    except HTTPError as error:
        with closing(error):
            return error.code, error.read().decode(), error.headers


def page(site, url):
    """The same page at the address where the site is served."""
    parts = urlsplit(url)
    return f"{site}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def recorded(ledger, *tables):
    """All rows of these tables, as the warehouse may copy them."""
    return {table: [row for batch in ledger.changes(table, None) for row in batch] for table in tables}
