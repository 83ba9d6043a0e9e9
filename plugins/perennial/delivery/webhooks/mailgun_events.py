"""
Mailgun's Events API: what a webhook that was lost would have told. Mailgun does not tell `delivered` twice.

https://documentation.mailgun.com/docs/mailgun/user-manual/events/events
"""

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

import requests

from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.foundation.settings import Settings

_A_PAGE = 300  # the most there are
_KINDS = "accepted OR rejected OR delivered OR failed OR opened OR clicked OR complained OR unsubscribed"


def pages(since: datetime, until: datetime, settings: Settings) -> Iterator[list[object]]:
    """
    The domain's events of that time, page by page, oldest first.

    Raises BadConfig where Mailgun refuses the key or knows no such domain, Retryable while it cannot be reached.
    """
    if settings.mailgun_events_key is None or settings.mailgun_domain is None:
        raise BadConfig("To ask Mailgun for events set PERENNIAL_MAILGUN_EVENTS_KEY and PERENNIAL_MAILGUN_DOMAIN.")
    base = settings.mailgun_url.rstrip("/")
    url = f"{base}/v3/{quote(settings.mailgun_domain, safe='')}/events"
    asked: dict[str, str | float] | None = {
        "begin": since.timestamp(),
        "end": until.timestamp(),
        "ascending": "yes",
        "limit": _A_PAGE,
        "event": _KINDS,
    }
    with requests.Session() as session:
        session.auth = ("api", settings.mailgun_events_key.get_secret_value())
        while True:
            page = _page(session, url, asked, settings.api_timeout)
            items, paging = page.get("items"), page.get("paging")
            if not isinstance(items, list) or not isinstance(paging, dict):
                raise Retryable(f"{base} answers with something that is no page of events.")
            if not items:
                return
            yield items
            url, asked = str(paging.get("next")), None
            if not url.startswith(f"{base}/"):  # the key goes nowhere else
                raise Permanent(f"The next page of Mailgun's events is not at PERENNIAL_MAILGUN_URL, {base}.")


def _page(
    session: requests.Session, url: str, asked: dict[str, str | float] | None, timeout: float
) -> dict[str, object]:
    try:
        answer = session.get(url, params=asked, timeout=timeout, allow_redirects=False)
        if answer.status_code in (401, 403, 404):
            raise BadConfig(
                f"Mailgun answers {answer.status_code} to a question for events: check PERENNIAL_MAILGUN_EVENTS_KEY, "
                "PERENNIAL_MAILGUN_DOMAIN and PERENNIAL_MAILGUN_URL."
            )
        if answer.status_code != 200:
            raise Retryable(f"Mailgun answers {answer.status_code} to a question for events.")
        content = answer.json()
    except (requests.RequestException, RecursionError) as error:  # its text may hold the address of the page
        raise Retryable(f"Mailgun cannot be asked for events: {type(error).__name__}.") from None
    return content if isinstance(content, dict) else {}
