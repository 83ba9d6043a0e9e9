"""The shipped campaigns in a real Chromium: on a phone and a wide screen, light and dark, for everybody."""

import pytest

from browser import chromium, show
from perennial.campaigns.definition import load_campaigns
from perennial.foundation.settings import load_settings
from perennial.templates import compile_template
from perennial.templates.context import sample_contexts
from rendering import render

pytestmark = pytest.mark.slow

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
SCREENS = [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")]
CAMPAIGNS = load_campaigns(load_settings())


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=[campaign.id for campaign in CAMPAIGNS])
def test_everybody_can_read_it_on_every_screen(browser, campaign, locale):
    sync_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    compiled = compile_template(campaign, locale, campaign.file.experiment.variants[0].name)
    known, unknown = (render(compiled, context).html for context in sample_contexts(locale))
    found = []
    for html, width, scheme in [*((known, *screen) for screen in SCREENS), (unknown, *SCREENS[0])]:
        tab = show(browser, html, width=width, scheme=scheme)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        result = sync_playwright.Axe().run(tab, options=RULES).response
        assert "color-contrast" in {rule["id"] for rule in result["passes"]}
        found += [
            (width, scheme, broken["id"], node["target"], node["failureSummary"])
            for broken in result["violations"]
            for node in broken["nodes"]
        ]
        tab.context.close()
    assert found == []
