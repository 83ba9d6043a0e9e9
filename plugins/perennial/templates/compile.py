"""A campaign's template in one locale and variant, compiled once and rendered for each person."""

from dataclasses import dataclass
from hashlib import sha256

from perennial.campaigns.definition import BODY, TEXT_BODY, Campaign
from perennial.templates.mjml import Tokenised, plain_text
from perennial.templates.source import read_source, refuse


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
    Compile the folder's files of `locale` for `variant`.

    Raises BadConfig naming file, line and what is wrong.
    """
    shared, folder = campaign.shared, campaign.folder / locale
    subject = read_source(folder / campaign.variant(variant).subject, shared, locale)
    lines = subject.text.strip()
    if "\n" in lines:
        refuse(subject.file, 2, "a subject is one line.")
    body = Tokenised(read_source(folder / BODY, shared, locale))
    html = body.html()
    own_text = folder / TEXT_BODY
    text = read_source(own_text, shared, locale).text if own_text.is_file() else plain_text(body)
    digest = sha256("\0".join((lines, html, text)).encode()).hexdigest()
    return CompiledTemplate(f"{campaign.id}/{locale}/{variant}", digest, lines, html, text)
