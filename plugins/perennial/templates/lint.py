"""What can be wrong with a campaign's mails before anybody gets one. `perennial validate` and planning run it."""

import re
from collections.abc import Iterable, Iterator

from perennial.campaigns.definition import Campaign
from perennial.foundation.errors import BadConfig
from perennial.templates.compile import CompiledTemplate, compile_template
from perennial.templates.context import RenderContext, sample_contexts
from perennial.templates.render import render

MAX_HTML = 95_000  # bytes; Gmail clips a mail at 102 KB
MAX_SUBJECT = 120  # characters

_ACTIVE = re.compile(
    r"<(script|iframe|object|embed|form|input|base)\b|\son[a-z]+\s*=|javascript:|vbscript:", re.IGNORECASE
)
_ADDRESS = re.compile(r"\s(href|src|background)\s*=\s*\"([^\"]*)\"", re.IGNORECASE)
_SAFE_ADDRESS = re.compile(
    r"https?://|mailto:|tel:|#|\{\{-?\s*(\w+\.)?(\w+_)?url\s*-?\}\}|\{\{-?\s*\w+\s*\|\s*(nps|csat)_url\s*-?\}\}"
    r"|\{\{ (\((\w+\.)?(\w+_)?url\)|\(?'https?://[^']*'.*) \| link\("  # as compiling leaves them
)
_IMAGE_WITHOUT_ALT = re.compile(r"<img\b(?![^>]*\salt=)[^>]*>", re.IGNORECASE)


def require_sound(campaigns: Iterable[Campaign]) -> None:
    """Raise BadConfig with everything that `lint` finds in these campaigns."""
    problems = [f"{campaign.folder}: {problem}" for campaign in campaigns for problem in lint(campaign)]
    if problems:
        raise BadConfig("\n".join(problems))


def lint(campaign: Campaign) -> list[str]:
    """
    Compile and render every locale and variant, for somebody known well and for somebody unknown.

    Returns one sentence a problem; an empty list means the campaign may go out.
    """
    problems: list[str] = []
    for locale in campaign.locales:
        for variant in campaign.file.experiment.variants:
            try:
                compiled = compile_template(campaign, locale, variant.name)
                problems += _in_template(compiled)
                for context in sample_contexts(locale):
                    problems += _in_mail(compiled, context, promotional=campaign.file.purpose == "promotional")
            except BadConfig as error:
                problems.append(str(error))
    return list(dict.fromkeys(problems))


def _in_template(compiled: CompiledTemplate) -> Iterator[str]:
    if active := _ACTIVE.search(compiled.html):
        yield f"{compiled.name}: {active[0].strip()!r} is active content; mail programs drop it or the mail."
    for attribute, address in _ADDRESS.findall(compiled.html):
        if address and not _SAFE_ADDRESS.match(address):
            yield f"{compiled.name}: {attribute}={address!r} must be http(s), mailto, tel, or a variable named *url."
    if _IMAGE_WITHOUT_ALT.search(compiled.html):
        yield f'{compiled.name}: an image has no alt text (alt="" for a decoration).'


def _in_mail(compiled: CompiledTemplate, context: RenderContext, *, promotional: bool) -> Iterator[str]:
    mail = render(compiled, context)
    subject, html, text = ("".join(pieces) for pieces in (mail.subject, mail.html, mail.text))
    if (size := len(html.encode())) > MAX_HTML:
        yield f"{compiled.name}: the HTML part has {size} bytes; at most {MAX_HTML}, or mail programs clip it."
    if len(subject) > MAX_SUBJECT:
        yield f"{compiled.name}: the subject has {len(subject)} characters; at most {MAX_SUBJECT}."
    if not promotional:
        return
    for part, content in (("HTML", html), ("text", text)):
        if context.postal_address not in content:
            yield f"{compiled.name}: the {part} part lacks {{{{ postal_address }}}}, which promotional mail must show."
    if f'href="{context.unsubscribe_url}"' not in html or context.unsubscribe_url not in text:
        yield f"{compiled.name}: promotional mail needs a visible link to {{{{ unsubscribe_url }}}} in both parts."
