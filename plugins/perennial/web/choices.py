"""What people choose: to get no more, what to hear about, and whether at all."""

from ipaddress import IPv6Address, ip_address

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from perennial.campaigns.topics import load_topics
from perennial.delivery.provider import Unsendable
from perennial.delivery.tokens import Purpose
from perennial.flows import listening, subscribing
from perennial.flows.links import Links
from perennial.web.bodies import read_body, read_form
from perennial.web.pages import LOCALES, confirm_page, done_page, note_page, preferences_page, subscribe_page
from perennial.web.site import Here, Locale, NoSuchPage, Site

MAX_BODY = 10_000  # bytes; a one-click POST has thirty

router = APIRouter()


@router.get("/unsubscribe/{token}")
def ask_unsubscribe(token: str, locale: Locale, site: Here) -> HTMLResponse:
    """The page that asks."""
    site.message(token, Purpose.UNSUBSCRIBE)
    return HTMLResponse(confirm_page(locale, "unsubscribe"))


@router.post("/unsubscribe/{token}")
async def unsubscribe(token: str, request: Request, locale: Locale, site: Here) -> HTMLResponse:
    """Done at once, by a mail program's one click or by the page's button."""
    method: listening.Method = "one_click" if b"One-Click" in await read_body(request, MAX_BODY) else "page"

    def act() -> str:
        if not listening.unsubscribe(token, method, site.ledger, site.settings):
            raise NoSuchPage
        message_id = site.message(token, Purpose.UNSUBSCRIBE)
        return Links(site.settings).page(message_id, "preferences", Purpose.PREFERENCES)

    return HTMLResponse(done_page(locale, await run_in_threadpool(act)))


@router.get("/preferences/{token}")
def ask_preferences(token: str, locale: Locale, site: Here) -> HTMLResponse:
    """All topics, those ticked that the person hears about."""
    hears = listening.topics(site.message(token, Purpose.PREFERENCES), site.ledger, site.settings)
    return HTMLResponse(preferences_page(locale, _topics(site, locale), hears))


@router.post("/preferences/{token}")
async def choose(token: str, request: Request, locale: Locale, site: Here) -> HTMLResponse:
    """What is ticked is wanted, and nothing else."""
    chosen = (await read_form(request)).get("topic", [])

    def act() -> None:
        message_id = site.message(token, Purpose.PREFERENCES)
        listening.choose_topics(message_id, chosen, site.ledger, site.settings)

    await run_in_threadpool(act)
    return HTMLResponse(note_page(locale, "chosen"))


@router.get("/subscribe")
def ask_subscribe(locale: Locale, site: Here, topic: str = "") -> HTMLResponse:
    """A form to subscribe by; a shop may have its own."""
    return HTMLResponse(subscribe_page(locale, _topics(site, locale), topic))


@router.post("/subscribe")
async def subscribe(request: Request, locale: Locale, site: Here) -> HTMLResponse:
    """Take `address`, `topic` and `locale`. The answer is the same whoever the address belongs to."""
    form = {name: values[-1] for name, values in (await read_form(request)).items()}
    locale = form["locale"] if form.get("locale") in LOCALES else locale
    topic = form.get("topic", "")

    def act() -> None:
        if topic not in load_topics(site.settings):
            raise Unsendable("There is no such topic.")
        subscribing.subscribe(form.get("address", ""), topic, locale, _client(request), site.ledger, site.settings)

    try:
        await run_in_threadpool(act)
    except Unsendable:
        page = subscribe_page(locale, _topics(site, locale), topic, wrong=True)
        return HTMLResponse(page, status_code=400)
    return HTMLResponse(note_page(locale, "look_into_mailbox"), status_code=202)


@router.get("/confirm/{token}")
def ask_confirm(token: str, locale: Locale, site: Here) -> HTMLResponse:
    """The page that asks who got the mail."""
    if subscribing.subscription(token, site.ledger, site.settings) is None:
        raise NoSuchPage
    return HTMLResponse(confirm_page(locale, "confirm"))


@router.post("/confirm/{token}")
def confirm(token: str, locale: Locale, site: Here) -> HTMLResponse:
    """The owner of the address says yes."""
    message_id = subscribing.subscription(token, site.ledger, site.settings)
    if message_id is None or not subscribing.confirm(message_id, site.ledger):
        raise NoSuchPage
    return HTMLResponse(note_page(locale, "confirmed"))


def _topics(site: Site, locale: str) -> dict[str, str]:
    return {name: topic.in_locale(locale) for name, topic in load_topics(site.settings).items()}


def _client(request: Request) -> str:
    """Who asks, as far as limits go: an address, of IPv6 the network that one household has."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(int(address) >> 64) if isinstance(address, IPv6Address) else host
