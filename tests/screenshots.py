"""Pictures of the shipped campaigns, for docs/campaigns.md: `make screenshots`. Needs Chromium and Chinese fonts."""

from pathlib import Path

from browser import chromium, show
from perennial.campaigns.definition import load_campaigns
from perennial.foundation.settings import load_settings
from perennial.templates import compile_template
from perennial.templates.context import sample_contexts
from rendering import render

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
SCREENS = {"phone": (360, "light"), "dark": (360, "dark"), "wide": (1280, "light")}


def main() -> None:
    """Write `docs/images/<campaign>.<locale>.<screen>.jpg` anew for all."""
    with chromium() as browser:
        for campaign in load_campaigns(load_settings()):
            for locale in campaign.locales:
                compiled = compile_template(campaign, locale, campaign.file.experiment.variants[0].name)
                known = sample_contexts(locale)[0].model_copy(update={"preview": False, "coupon_code": ""})
                html = render(compiled, known).html
                for screen, (width, scheme) in SCREENS.items():
                    tab = show(browser, html, width=width, scheme=scheme)
                    path = IMAGES / f"{campaign.id}.{locale}.{screen}.jpg"
                    tab.screenshot(path=path, full_page=True, type="jpeg", quality=70)
                    tab.context.close()


if __name__ == "__main__":
    main()
