"""
The published pages, for people with a login.

Who may read what, and which day a run is about, is told by whoever mounts the app; it changes nothing. Pages are found
by their day and one of three names, so no path leads anywhere else.
"""

from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from perennial.flows.publications import KEPT, LATEST, PAGES, day_of, latest, publication_of
from perennial.metrics.pages import render_page

QUALITY = "quality.html"
_HEADERS = {  # framed by the UI that mounts it, and by nobody else
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}


def create_published_app(
    home: Callable[[], Path],
    day_of_run: Callable[[str, str], date | None],
    may_read: Callable[..., object],
    may_read_run: Callable[..., object],
) -> FastAPI:
    """
    The app as ASGI, to be mounted.

    home: the folder of the publications; day_of_run: of a DAG and a run, None if it is about no day; may_read,
    may_read_run: dependencies that refuse who may not, the second by the path parameter `dag_id`.
    """
    app = FastAPI(title="Perennial", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def secure(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/runs/{dag_id}/{run_id:path}", dependencies=[Depends(may_read_run)])
    def quality_of_run(dag_id: str, run_id: str, request: Request) -> Response:
        day, folder = day_of_run(dag_id, run_id), home()
        if day and publication_of(day, folder):
            return RedirectResponse(f"{_root(request)}/{day}/{QUALITY}", status_code=307)
        return _missing(day, folder, QUALITY, request)

    @app.get("/{day}/{page}", dependencies=[Depends(may_read)])
    def page_of_day(day: str, page: str, request: Request) -> Response:
        folder, wanted = home(), _date(day)
        name = latest(folder)
        found = folder / name if name and day == LATEST else publication_of(wanted, folder) if wanted else None
        if page not in PAGES or (not wanted and day != LATEST):
            return HTMLResponse("There is no such page.", status_code=404)
        return FileResponse(found / page) if found else _missing(wanted, folder, page, request)

    return app


def _missing(day: date | None, folder: Path, page: str, request: Request) -> HTMLResponse:
    """Why there is no page, and where the newest one is."""
    name = latest(folder)
    html = render_page(
        "missing.html.j2",
        day=day,
        newest=day_of(name) if name else None,
        kept=KEPT,
        link=f"{_root(request)}/{LATEST}/{page}",
    )
    return HTMLResponse(html, status_code=404)


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
