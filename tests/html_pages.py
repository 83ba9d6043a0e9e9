"""Looking at a page as a reader would: its text, tags, attributes and links, and what it would ask of others."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """The text of a page, its tags and its attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def links(self):
        return {value for tag, name, value in self.attributes if tag == "a" and name == "href"}


def outside_requests(html):
    """What a page that stands alone may not hold."""
    page = Page(html)
    active = {"script", "link", "iframe", "img", "object", "embed", "base", "form"} & set(page.tags)
    loading = [a for a in page.attributes if a[1] in ("src", "srcset", "action", "xlink:href") or a[1].startswith("on")]
    styles = re.findall(r"@import|url\((?!#)", html)
    outside = [link for link in page.links if "//" in link]
    unguarded = [] if "default-src 'none'" in html else ["no policy"]
    return [*active, *loading, *styles, *outside, *unguarded]
