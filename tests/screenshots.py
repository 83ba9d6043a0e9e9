"""Pictures of the shipped campaigns, for docs/campaigns.md: `make screenshots`. Needs Chromium and Chinese fonts."""

from pathlib import Path

from browser import chromium, show
from perennial.campaigns.definition import load_campaigns
from perennial.foundation.settings import load_settings
from perennial.templates import compile_template
from perennial.templates.context import sample_contexts
from rendering import render

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "campaign-pictures.md"
SCREENS = {"phone": (360, "light"), "dark": (360, "dark"), "wide": (1280, "light")}
HEAD = """# How the shipped campaigns look

To somebody we know well: on a phone (360 pixels), there in dark, and on a wide screen (1280). `make screenshots` takes
the pictures and writes this page; products have their own pictures in real mails.
"""


def main() -> None:
    """Write `docs/images/<campaign>.<locale>.<screen>.jpg` anew for all, and the page that shows them."""
    page = [HEAD]
    with chromium() as browser:
        for campaign in load_campaigns(load_settings()):
            page.append(f"\n## {campaign.id}\n")
            for locale in campaign.locales:
                compiled = compile_template(campaign, locale, campaign.file.experiment.variants[0].name)
                known = sample_contexts(locale)[0].model_copy(update={"preview": False, "coupon_code": ""})
                html = render(compiled, known).html
                for screen, (width, scheme) in SCREENS.items():
                    tab = show(browser, html, width=width, scheme=scheme)
                    image = f"images/{campaign.id}.{locale}.{screen}.jpg"
                    tab.screenshot(path=DOCS / image, full_page=True, type="jpeg", quality=70)
                    tab.context.close()
                    about = f"{campaign.id}, {locale}, {width} pixels, {scheme}"
                    page.append(f'<img src="{image}" alt="{about}" width="{width // (4 if width > 1000 else 2)}">')
    PAGE.write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
