"""What every page needs: the settings, one ledger for the whole process, and figures of what was asked."""

from contextlib import ExitStack
from threading import Lock
from typing import Annotated

from fastapi import Depends, Request

from perennial.delivery.tokens import Purpose
from perennial.flows import listening
from perennial.foundation.settings import Settings
from perennial.ledger import Ledger, open_ledger
from perennial.web.figures import Figures
from perennial.web.pages import preferred_locale


class Site:
    """One app's; `ledger` is opened when it is first needed, so that the app also starts while it cannot be reached."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.figures = Figures()
        self._opening = Lock()
        self._open = ExitStack()
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        """Raises Retryable while it cannot be reached, BadConfig where its schema is another version's."""
        with self._opening:
            if self._ledger is None:
                self._ledger = self._open.enter_context(open_ledger(self.settings))
            return self._ledger

    def message(self, token: str, purpose: Purpose) -> str:
        """The message in the ledger that a token is about. Raises NoSuchPage."""
        message_id = listening.message_of(token, purpose, self.ledger, self.settings)
        if message_id is None:
            raise NoSuchPage
        return message_id

    def close(self) -> None:
        """Let go of the ledger."""
        self._open.close()


class NoSuchPage(Exception):
    """Nothing is there, and why is not told."""


async def _site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


async def locale_of(request: Request) -> str:
    """The language to answer a request in."""
    return preferred_locale(request.headers.get("accept-language", ""))


Here = Annotated[Site, Depends(_site_of)]
Locale = Annotated[str, Depends(locale_of)]
