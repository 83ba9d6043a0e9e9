"""Mailgun's messages API: one form for all recipients, who each get a mail of their own by their variables."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from urllib3.filepost import encode_multipart_formdata

from perennial.delivery.api import ApiProvider, Merged, json_object
from perennial.delivery.connection import Answer, Connection
from perennial.delivery.mime import MESSAGE_HEADER, split_mailbox
from perennial.delivery.provider import MESSAGE_KEY
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

# What Mailgun fills in without being asked: %recipient%, %recipient_name%, %recipient.x%, %unsubscribe_url% and so on.
_EXPANDED = re.compile(r"%(?=(?:recipient|unsubscribe|(?:mailing_list|tag)_unsubscribe)[\w.:-]*%)")


class MailgunProvider(ApiProvider):
    """Every request has recipient variables, also for one recipient: without, all would see each other in To."""

    name = "mailgun"
    title = "Mailgun"
    settings = "PERENNIAL_MAILGUN_API_KEY, PERENNIAL_MAILGUN_DOMAIN and PERENNIAL_MAILGUN_URL"

    def __init__(self, settings: Settings) -> None:
        if not settings.mailgun_api_key or not settings.mailgun_domain:
            raise BadConfig("To send by Mailgun set PERENNIAL_MAILGUN_API_KEY and PERENNIAL_MAILGUN_DOMAIN.")
        key = settings.mailgun_api_key.get_secret_value()
        super().__init__(Connection(settings.mailgun_url, "PERENNIAL_MAILGUN_URL", settings.api_timeout), key)
        self._path = f"/v3/{quote(settings.mailgun_domain, safe='')}/messages"
        self._login = base64.b64encode(f"api:{key}".encode()).decode()
        self._is_test = settings.mailgun_test_mode

    def _tag(self, name: str) -> str:
        return f"%recipient.{name}%"

    def _literal_line(self, text: str) -> str:
        return _EXPANDED.sub("%\u2060", text)

    def _literal_html(self, text: str) -> str:
        return _EXPANDED.sub("&#37;", text)

    def _post(self, merged: Merged, before_it_leaves: Callable[[], None]) -> Answer:
        body, kind = encode_multipart_formdata(self._fields(merged))
        headers = {"Authorization": f"Basic {self._login}", "Content-Type": kind}
        return self._connection.post(self._path, headers, body, before_it_leaves)

    def _fields(self, merged: Merged) -> list[tuple[str, str]]:
        message_id = f"{merged.name}id"
        variables = {}
        for letter, values in zip(merged.letters, merged.values, strict=True):
            own = {f"{merged.name}{name}": value for name, value in letter.headers.items()}
            variables[letter.recipient] = {**values, **own, message_id: letter.message_id}
        shown, address = split_mailbox(merged.letters[0].sender)
        fields = [
            ("from", _mailbox(shown, address)),
            *(("to", letter.recipient) for letter in merged.letters),
            ("subject", merged.subject),
            ("text", merged.text),
            ("html", merged.html),
            ("recipient-variables", json.dumps(variables)),
            (f"v:{MESSAGE_KEY}", self._tag(message_id)),
            (f"h:{MESSAGE_HEADER}", self._tag(message_id)),
            *((f"h:{name}", self._tag(f"{merged.name}{name}")) for name in merged.letters[0].headers),
        ]
        return [*fields, ("o:testmode", "yes")] if self._is_test else fields

    def _is_taken(self, answer: Answer) -> bool:
        return answer.status == 200 and "id" in json_object(answer)  # a wrong address gets 200, too, with a greeting

    def _said(self, answer: Answer) -> str:
        said = json_object(answer)
        if answer.status < 300:
            return str(said.get("id", "")).strip("<").partition("@")[0]
        return str(said.get("message", ""))

    def _named(self, answer: Answer, count: int) -> Mapping[int, str]:  # noqa: ARG002 - it never says which
        if "'from'" in self._said(answer):
            raise BadConfig(f"{self._who} refuses our sender: {self._clean(self._said(answer))}. See PERENNIAL_SENDER.")
        return {}


def _mailbox(name: str, address: str) -> str:
    shown = re.sub(r"[\x00-\x1f\x7f]", " ", name)
    escaped = re.sub(r'(["\\])', r"\\\1", shown)
    return f'"{escaped}" <{address}>' if name else address
