"""What belongs to one mail: itself in a browser, its links, and the picture that tells that it was opened."""

import base64

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.background import BackgroundTask

from perennial.delivery.tokens import Purpose
from perennial.flows import listening
from perennial.web.pages import note_page
from perennial.web.site import Here, Locale, NoSuchPage

_PICTURE = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")  # one transparent pixel
_MAIL_POLICY = (  # a mail may look as it likes, and do nothing
    "default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline'; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'"
)

router = APIRouter()


@router.get("/view/{token}")
def view(token: str, locale: Locale, site: Here) -> HTMLResponse:
    """The mail in a browser, as long as its content is kept."""
    mail = listening.mail(site.message(token, Purpose.VIEW), site.ledger, site.settings)
    if mail is None:
        return HTMLResponse(note_page(locale, "mail_gone"), status_code=410)
    return HTMLResponse(mail, headers={"Content-Security-Policy": _MAIL_POLICY})


# Nobody waits until a visit is noted, and nobody is stopped where it cannot be.


@router.api_route("/c/{token}", methods=["GET", "HEAD"])
def click(token: str, request: Request, site: Here) -> Response:
    """A link of a mail: to where it said when it was sent, and nowhere else."""
    found = listening.link_of(token, site.settings)
    if found is None:
        raise NoSuchPage
    note = BackgroundTask(lambda: listening.clicked(*found, site.ledger, **_visitor(request)))
    return RedirectResponse(found[1], status_code=302, background=note)


@router.api_route("/o/{token}.gif", methods=["GET", "HEAD"])
def picture(token: str, request: Request, site: Here) -> Response:
    """The picture of a mail."""
    note = BackgroundTask(lambda: listening.opened(token, site.ledger, site.settings, **_visitor(request)))
    return Response(_PICTURE, media_type="image/gif", background=note)


def _visitor(request: Request) -> listening.Visitor:
    return {"user_agent": request.headers.get("user-agent", ""), "only_asked": request.method == "HEAD"}
