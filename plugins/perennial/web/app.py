"""
The public web app: unsubscribing, without a login, at once.

A GET never changes anything: scanners follow links. A POST does, whether it comes from a mail program
(RFC 8058, `List-Unsubscribe=One-Click`) or from the confirm page.
"""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse

from perennial.flows import listening
from perennial.foundation.errors import Retryable
from perennial.foundation.settings import Settings, load_settings
from perennial.web.pages import STYLE_HASH, confirm_page, done_page, missing_page, preferred_locale

MAX_BODY = 10_000  # bytes; a one-click POST has thirty
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
    """The app as ASGI, a factory for `uvicorn --factory`. It needs the ledger and the signing secret, nothing else."""
    settings = settings or load_settings()
    app = FastAPI(title="Perennial", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def secure(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.exception_handler(Retryable)
    async def busy(_request: Request, _error: Retryable) -> Response:
        return Response("Please try again in a moment.", status_code=503, headers={"Retry-After": "30"})

    @app.get("/health")
    def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.get("/unsubscribe/{token}")
    def ask(token: str, request: Request) -> HTMLResponse:
        locale = _locale(request)
        if not listening.knows(token, settings):
            return HTMLResponse(missing_page(locale), status_code=404)
        return HTMLResponse(confirm_page(locale))

    @app.post("/unsubscribe/{token}")
    async def act(token: str, request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return Response("Too large.", status_code=413)
        locale = _locale(request)
        method: listening.Method = "one_click" if b"One-Click" in body else "page"
        if not await run_in_threadpool(listening.unsubscribe, token, method, settings):
            return HTMLResponse(missing_page(locale), status_code=404)
        return HTMLResponse(done_page(locale))

    return app


def _locale(request: Request) -> str:
    return preferred_locale(request.headers.get("accept-language", ""))


async def _body(request: Request) -> bytes | None:
    """The request's body, form or multipart; None when it is larger than any honest one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return body
