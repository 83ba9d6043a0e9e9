"""
The public web app: what people and providers tell us, without a login.

A GET never changes anything a person decides: scanners follow links. A POST does, whether it comes from a mail program
(RFC 8058, `List-Unsubscribe=One-Click`), a page's button, or a provider that signed it.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from perennial.foundation.errors import PerennialError, Retryable
from perennial.foundation.settings import Settings, load_settings
from perennial.ledger import TooMany
from perennial.web import choices, health, mails, surveys, webhooks
from perennial.web.pages import STYLE_HASH, missing_page
from perennial.web.site import NoSuchPage, Site, locale_of

log = logging.getLogger(__name__)

_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {STYLE_HASH}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The app as ASGI, a factory for `uvicorn --factory`. It needs the ledger, the include folder and the secret."""
    site = Site(settings or load_settings())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        site.close()

    app = FastAPI(title="Perennial", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.site = site
    for room in (choices, health, mails, surveys, webhooks):
        app.include_router(room.router)
    app.middleware("http")(_secured)
    app.exception_handler(NoSuchPage)(_missing)
    app.exception_handler(TooMany)(_too_many)
    app.exception_handler(Retryable)(_busy)
    app.exception_handler(PerennialError)(_broken)
    return app


async def _secured(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    route = request.scope.get("route")  # its pattern names nobody
    if route is not None:
        request.app.state.site.figures.asked(route.path, request.method, response.status_code)
    return response


async def _missing(request: Request, _error: NoSuchPage) -> Response:
    return HTMLResponse(missing_page(await locale_of(request)), status_code=404)


async def _too_many(_request: Request, error: TooMany) -> Response:
    return Response(str(error), status_code=429, headers={"Retry-After": "3600"})


async def _busy(_request: Request, error: Retryable) -> Response:
    log.warning("%s", error)
    return Response("Please try again in a moment.", status_code=503, headers={"Retry-After": "30"})


async def _broken(_request: Request, error: PerennialError) -> Response:
    log.error("%s", error)
    return Response("This does not work right now.", status_code=500)
