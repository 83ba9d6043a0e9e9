"""Where the links of a mail lead: our own pages by sealed tokens, other addresses tagged, and noted if we are told."""

from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from perennial.delivery.tokens import Purpose, seal, seal_link, signing_secret
from perennial.foundation.settings import Settings
from perennial.templates.compile import CompiledTemplate
from perennial.templates.filters import Rewrite

# What a template says → the page it leads to. Most mails have but a few of them.
_PAGES = {
    "unsubscribe_url": ("unsubscribe", Purpose.UNSUBSCRIBE),
    "preferences_url": ("preferences", Purpose.PREFERENCES),
    "confirm_url": ("confirm", Purpose.CONFIRM),
    "view_url": ("view", Purpose.VIEW),
    "nps_url": ("answer", Purpose.ANSWER),
    "csat_url": ("answer", Purpose.ANSWER),
}
_NOTED_BY_US = ("mailbox", "smtp")  # others count opens and clicks themselves


class Links:
    """The links of mails by `provider`; `None` is a mail that is looked at in a browser, where nothing is noted."""

    def __init__(self, settings: Settings, provider: str | None = None) -> None:
        self._secret = signing_secret(settings)
        self._base = settings.public_url.rstrip("/")
        self._shown: dict[str, list[tuple[str, str, Purpose]]] = {}
        noted = settings.track.split(",") if provider in _NOTED_BY_US else []
        self._notes_opens, self._notes_clicks = "opens" in noted, "clicks" in noted

    def page(self, message_id: str, name: str, purpose: Purpose) -> str:
        """The address of one of our pages about a message."""
        return f"{self._base}/{name}/{seal(message_id, self._secret, purpose)}"

    def of(self, message_id: str, template: CompiledTemplate) -> dict[str, str]:
        """The own links of a mail, by the context's names: unsubscribing, and what the template shows."""
        if template.hash not in self._shown:  # one template has many mails
            self._shown[template.hash] = [
                ("answer_url" if page == "answer" else name, page, purpose)
                for name, (page, purpose) in _PAGES.items()
                if name == "unsubscribe_url" or name in template.html or name in template.text
            ]
        found = {name: self.page(message_id, page, purpose) for name, page, purpose in self._shown[template.hash]}
        if self._notes_opens:
            found["open_url"] = self.page(message_id, "o", Purpose.OPEN) + ".gif"
        return found

    def rewriter(self, message_id: str) -> Rewrite:
        """What becomes of the other addresses of a mail."""

        def rewrite(url: str, tags: str, noted: bool) -> str:  # noqa: FBT001 - as filters call it
            if not url.startswith(("http://", "https://")) or url.startswith(f"{self._base}/"):
                return url
            found = _tagged(url, tags)
            return (
                f"{self._base}/c/{seal_link(message_id, found, self._secret)}"
                if noted and self._notes_clicks
                else found
            )

        return rewrite


@lru_cache(maxsize=4096)
def _tagged(url: str, tags: str) -> str:
    """The address with the parameters that it does not say itself."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    said = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    added = urlencode([(name, value) for name, value in parse_qsl(tags) if name not in said])
    return urlunsplit(parts._replace(query="&".join(part for part in (parts.query, added) if part)))
