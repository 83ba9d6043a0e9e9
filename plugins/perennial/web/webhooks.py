"""What providers tell: taken with 2xx only when it is written for good, so that they tell it again otherwise."""

from collections.abc import Callable

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import SecretStr

from perennial.delivery.webhooks import Forged, sendgrid
from perennial.flows.webhooks import take_mailgun, take_sendgrid
from perennial.ledger import TakenIn
from perennial.web.bodies import read_body
from perennial.web.site import Here, Site

MAX_BODY = 2_000_000  # bytes; SendGrid sends up to 768 KB, Mailgun one event

router = APIRouter(prefix="/webhooks")


@router.post("/sendgrid")
async def from_sendgrid(request: Request, site: Here) -> Response:
    """SendGrid's Event Webhook, signed."""
    key = _required(site.settings.sendgrid_webhook_key)
    body = await read_body(request, MAX_BODY)
    signature, timestamp = (request.headers.get(name, "") for name in (sendgrid.SIGNATURE, sendgrid.TIMESTAMP))

    def take() -> TakenIn:
        return take_sendgrid(key, signature, timestamp, body, site.ledger, site.settings)

    return await run_in_threadpool(_answer, "sendgrid", take, site)


@router.post("/mailgun")
async def from_mailgun(request: Request, site: Here) -> Response:
    """Mailgun's webhooks, one event a request."""
    key = _required(site.settings.mailgun_webhook_key)
    body = await read_body(request, MAX_BODY)

    def take() -> TakenIn:
        return take_mailgun(key, body, site.ledger, site.settings)

    return await run_in_threadpool(_answer, "mailgun", take, site)


def _required(key: SecretStr | None) -> str:
    if key is None:
        raise HTTPException(404)
    return key.get_secret_value()


def _answer(provider: str, take: Callable[[], TakenIn], site: Site) -> Response:
    try:
        taken = take()
    except Forged as error:
        site.figures.forged(provider)
        return Response(str(error), status_code=401)
    site.figures.taken_in(provider, taken)
    return Response(status_code=200)
