"""A campaign's mails for people's eyes, before anybody gets one."""

from pathlib import Path

from perennial.campaigns.definition import Campaign
from perennial.templates.compile import compile_template
from perennial.templates.context import sample_contexts
from perennial.templates.render import render

_NO_CODE = {"coupon_code": ""}


def write_samples(campaign: Campaign, folder: Path) -> list[Path]:
    """
    Write each locale and variant, for somebody known well and for somebody unknown: `win_back.en.a.known.html`.

    A `.txt` beside it has the subject and the text part. Returns the HTML files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for locale in campaign.locales:
        for variant in campaign.file.experiment.variants:
            compiled = compile_template(campaign, locale, variant.name)
            for who, context in zip(("known", "unknown"), sample_contexts(locale), strict=True):
                mail = render(compiled, context if campaign.file.offer else context.model_copy(update=_NO_CODE))
                page = folder / f"{campaign.id}.{locale}.{variant.name}.{who}.html"
                page.write_text("".join(mail.html), encoding="utf-8")
                text = f"Subject: {''.join(mail.subject)}\n\n{''.join(mail.text)}"
                page.with_suffix(".txt").write_text(text, encoding="utf-8")
                written.append(page)
    return written
