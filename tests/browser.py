"""The machine's Chromium, for pages and mails as people see them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 150 150">
<rect width="150" height="150" fill="#dfe8d8"/>
<path d="M75 118V60M75 90q-30 0-30-28 30 0 30 28zm0-10q0-26 28-26 0 26-28 26z" fill="none" stroke="#2f7d5b"/></svg>"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"Chromium does not start: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


def show(browser: Any, html: str, *, width: int, scheme: str = "light") -> Any:
    """A tab with this page. Nothing is fetched: every picture is the same leaf."""
    tab = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 640}).new_page()
    tab.route("**/*", lambda route: route.fulfill(body=PICTURE, content_type="image/svg+xml"))
    tab.set_content(html)
    return tab
