"""
Links of a compiled template: each passes a filter, by which delivery adds to it or has a click noted.

    href="{{ shop_url }}"             ─►  href="{{ (shop_url) | link('utm_source=…') }}"
    href="https://shop.example/new"   ─►  href="{{ 'https://shop.example/new' | link('utm_source=…') }}"

What leads to our own pages stays as it is, and so does what is no web address.
"""

import html
import re

from perennial.templates.context import OWN_LINKS
from perennial.templates.mjml import LINK_BEGINS, LINK_ENDS

_LINK = re.compile(r"""(<a\b[^>]*?\shref=")((?:\{\{.*?\}\}|\{(?!\{)|[^"{])*)(")""")
_TEXT_LINK = re.compile(f"{LINK_BEGINS}(.*?){LINK_ENDS}", re.DOTALL)
_VALUE = re.compile(r"\{\{-?(.*?)-?\}\}")
_OWN = re.compile(rf"\b({'|'.join(OWN_LINKS)}|nps_url|csat_url)\b")
_PICTURE = (
    '{% if open_url %}<img src="{{ open_url }}" alt="" width="1" height="1" style="display:block;border:0"/>{% endif %}'
)


def with_links(source: str, tags: str) -> str:
    """The HTML part with a filter around each link; `tags` is the query that is added to it."""
    return _LINK.sub(lambda found: found[1] + _filtered(found[2], f"link('{tags}')", is_html=True) + found[3], source)


def with_text_links(source: str, tags: str) -> str:
    """The same for a text part, whose addresses people read: clicks on these are not noted."""
    return _TEXT_LINK.sub(lambda found: _filtered(found[1], f"tagged('{tags}')"), source)


def with_open_picture(source: str) -> str:
    """The HTML part with a place for the picture that tells that a mail was opened."""
    before, end, after = source.rpartition("</body>")
    return f"{before}{_PICTURE}{end}{after}" if end else source


def _filtered(address: str, added: str, *, is_html: bool = False) -> str:
    if "{%" in address or _OWN.search(address):
        return address
    parts = _VALUE.split(address)  # texts and expressions by turns
    terms = [
        f"({part.strip()})" if place % 2 else _literal(html.unescape(part) if is_html else part)
        for place, part in enumerate(parts)
        if part
    ]
    if not terms or (parts[0] and not parts[0].lower().startswith(("http://", "https://"))):
        return address
    return f"{{{{ {terms[0] if len(terms) == 1 else '(' + ' ~ '.join(terms) + ')'} | {added} }}}}"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "%5C").replace("'", "%27") + "'"
