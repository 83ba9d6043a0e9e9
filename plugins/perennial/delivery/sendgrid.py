"""
SendGrid's v3 API, by its official client, over a connection of ours.

The client knows how a request looks, but opens a connection for each, and where one broke off its errors do not tell:
so the one method by which it sends is replaced.
"""

import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import Any, cast
from urllib.request import Request
from urllib.response import addinfourl

from perennial.delivery.api import ApiProvider, Merged, ValuesRefused, json_object
from perennial.delivery.connection import Answer, Connection
from perennial.delivery.mime import MESSAGE_HEADER, split_mailbox
from perennial.delivery.provider import MESSAGE_KEY
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

_PLACE = re.compile(r"personalizations\.(\d+)")

# It logs every request: the key, and all addresses.
logging.getLogger("python_http_client").setLevel(logging.CRITICAL)


class SendGridProvider(ApiProvider):
    """A request is a list of personalizations: recipient, headers, our message id, and a value for each tag."""

    name = "sendgrid"
    title = "SendGrid"
    settings = "PERENNIAL_SENDGRID_API_KEY, PERENNIAL_SENDGRID_URL and PERENNIAL_SENDER"

    def __init__(self, settings: Settings) -> None:
        from sendgrid import SendGridAPIClient

        if not settings.sendgrid_api_key:
            raise BadConfig("To send by SendGrid set PERENNIAL_SENDGRID_API_KEY: a key that may send mail.")
        key = settings.sendgrid_api_key.get_secret_value()
        super().__init__(Connection(settings.sendgrid_url, "PERENNIAL_SENDGRID_URL", settings.api_timeout), key)
        self._endpoint = SendGridAPIClient(key, host=settings.sendgrid_url.rstrip("/")).client.mail.send
        self._is_sandbox = settings.sendgrid_sandbox

    def _tag(self, name: str) -> str:
        return name

    def _post(self, merged: Merged, before_it_leaves: Callable[[], None]) -> Answer:
        self._endpoint._make_request = partial(self._exchange, before_it_leaves)
        response = self._endpoint.post(request_body=self._body(merged))
        return Answer(response.status_code, response.headers, response.body)

    def _exchange(
        self, before_it_leaves: Callable[[], None], _opener: object, request: Request, **_: object
    ) -> addinfourl:
        body = cast("bytes", request.data)
        answer = self._connection.post(request.selector, dict(request.header_items()), body, before_it_leaves)
        return addinfourl(BytesIO(answer.body), answer.headers, request.full_url, answer.status)

    def _body(self, merged: Merged) -> dict[str, Any]:
        shown, address = split_mailbox(merged.letters[0].sender)
        sender = {"email": address, "name": shown} if shown else {"email": address}
        body: dict[str, Any] = {
            "from": sender,
            "subject": merged.subject,
            "content": [
                {"type": "text/plain", "value": merged.text},
                {"type": "text/html", "value": merged.html},
            ],
            "personalizations": [
                {
                    "to": [{"email": letter.recipient}],
                    "headers": {**letter.headers, MESSAGE_HEADER: letter.message_id},
                    "custom_args": {MESSAGE_KEY: letter.message_id},
                    "substitutions": values,
                }
                for letter, values in zip(merged.letters, merged.values, strict=True)
            ],
        }
        return body | {"mail_settings": {"sandbox_mode": {"enable": True}}} if self._is_sandbox else body

    def _is_taken(self, answer: Answer) -> bool:
        return answer.status == (200 if self._is_sandbox else 202)

    def _said(self, answer: Answer) -> str:
        if answer.status < 300:
            return str(answer.headers.get("X-Message-Id", ""))
        return "; ".join(message for _, message in _errors(answer))

    def _named(self, answer: Answer, count: int) -> Mapping[int, str]:
        named = {}
        for field, message in _errors(answer):
            if field.startswith("from"):
                raise BadConfig(f"{self._who} refuses our sender: {self._clean(message)}. See PERENNIAL_SENDER.")
            if field.endswith(".substitutions"):
                raise ValuesRefused
            if found := _PLACE.match(field):
                named[int(found[1])] = message
            elif field and field != "personalizations":  # of what all of them share
                return dict.fromkeys(range(count), message)
        return {place: message for place, message in named.items() if place < count}


def _errors(answer: Answer) -> list[tuple[str, str]]:
    """The field and text of each error that an answer names."""
    errors = json_object(answer).get("errors")
    found = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return [(str(error.get("field") or ""), str(error.get("message") or "")) for error in found]
