"""A campaign's template in one locale and variant, compiled once and rendered for each person."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

from perennial.campaigns.definition import BODY, SUBJECT, TEXT_BODY, Campaign
from perennial.templates.links import with_links, with_open_picture, with_text_links
from perennial.templates.mjml import Tokenised, plain_text
from perennial.templates.source import read_source, refuse

# Written by us: no campaign can forget what the law of a receiver's country wants there.
SUBJECT_LABEL = "{% if subject_label %}{{ subject_label }} {% endif %}"


@dataclass(frozen=True)
class CompiledTemplate:
    """Jinja sources that need nothing else: `hash` tells whether two are the same. `name` is for errors."""

    name: str
    hash: str
    subject: str
    html: str
    text: str


def compile_template(campaign: Campaign, locale: str, variant: str) -> CompiledTemplate:
    """
    Compile the folder's files of `locale` for `variant`; links carry the campaign's `utm` parameters.

    Raises BadConfig naming file, line and what is wrong.
    """
    utm = {"source": "perennial", "medium": "email", "campaign": campaign.id, "content": variant} | campaign.file.utm
    tags = urlencode({f"utm_{name}": value for name, value in utm.items()})
    subject = campaign.variant(variant).subject
    name = f"{campaign.id}/{locale}/{variant}"
    label = SUBJECT_LABEL if campaign.file.purpose == "promotional" else ""
    return compile_folder(name, campaign.folder / locale, campaign.shared, subject=subject, label=label, tags=tags)


def compile_folder(
    name: str, folder: Path, shared: Sequence[Path], *, subject: str = SUBJECT, label: str = "", tags: str = ""
) -> CompiledTemplate:
    """
    Compile the files of one locale, which is the folder's name.

    `label` goes before the subject; `tags` is the query that links get.
    """
    locale = folder.name
    title = read_source(folder / subject, shared, locale)
    lines = title.text.strip()
    if "\n" in lines:
        refuse(title.file, 2, "a subject is one line.")
    lines = label + lines
    body = Tokenised(read_source(folder / BODY, shared, locale))
    html = with_open_picture(with_links(body.html(), tags))
    own_text = folder / TEXT_BODY
    text = read_source(own_text, shared, locale).text if own_text.is_file() else with_text_links(plain_text(body), tags)
    digest = sha256("\0".join((lines, html, text)).encode()).hexdigest()
    return CompiledTemplate(name, digest, lines, html, text)
