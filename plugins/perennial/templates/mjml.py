"""
MJML with Jinja in it, turned into HTML and into plain text.

mrml knows no Jinja: it would escape it, drop it or move it. So every tag is replaced by an opaque token of the kind
that survives at its place, and put back afterwards. mrml also drops what it does not know without a word; here it is
refused. Elements are the allow-list of what was seen to work with tags around and inside them.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import accumulate
from typing import NoReturn

import mrml

from perennial.foundation.errors import BadConfig
from perennial.templates.source import Piece, Source, refuse

_CONTENT = frozenset({"mj-text", "mj-button", "mj-table", "mj-raw", "mj-title", "mj-preview", "mj-style"})
_LEAVES = frozenset({"mj-image", "mj-divider", "mj-spacer", "mj-all", "mj-class"})
_STRUCTURE = frozenset({"mjml", "mj-head", "mj-attributes", "mj-body", "mj-section", "mj-column"})
_AROUND_CHILDREN = frozenset({"mj-body", "mj-section", "mj-column"})  # inside mj-wrapper mrml breaks Outlook's comments
_TOKEN = re.compile(r"JQ\d{4}Z")
LINK_BEGINS, LINK_ENDS = "\ue000", "\ue001"  # around addresses in the text part, until the template is compiled
_MARKUP = re.compile(
    r"(?P<comment><!--)|<(?P<close>/?)(?P<name>[A-Za-z][\w:-]*)(?P<attributes>(?:\"[^\"]*\"|'[^']*'|[^<>\"'])*)>|[^<]+|<"
)


class Tokenised:
    """A source whose Jinja tags are tokens: `text` is plain MJML, `restore` puts the tags back."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tags: dict[str, Piece] = {}
        parts = [self._token(piece) if piece.tag else piece.text for piece in source.pieces]
        self._starts = list(accumulate(map(len, parts), initial=0))
        for piece in source.pieces:
            if not piece.tag and (taken := _TOKEN.search(piece.text)):
                refuse(piece.file, piece.line, f"the text {taken[0]!r} is kept for internal use.")
        self.text = self._place("".join(parts))

    def html(self) -> str:
        """Raises BadConfig if mrml cannot read the MJML."""
        try:
            html = mrml.to_html(self.text, render_options=mrml.RenderOptions(fonts={})).content
        except OSError as error:
            raise BadConfig(f"{self._source.file}: not readable as MJML ({error}): is every element closed?") from error
        if crossing := re.search(r"<!--(?:(?!-->).)*?<!--(JQ\d{4}Z)", html, re.DOTALL):
            self._refuse_tag(crossing[1], "cannot stand here: Outlook would not see it. Put it inside the section")
        return self.restore(html)

    def restore(self, text: str) -> str:
        """`text` with the Jinja tags in place of their tokens. Raises BadConfig if a tag was lost."""
        found = set(_TOKEN.findall(text))
        for token in self._tags:
            if token not in found:
                self._refuse_tag(token, "was lost by the MJML renderer. Put it inside mj-text or around an element")
        return self.restore_some(text)

    def restore_some(self, text: str) -> str:
        """The same for a text that holds only some of the tags."""
        return re.sub(r"<!--(JQ\d{4}Z)-->|(JQ\d{4}Z)", lambda match: self._tags[match[1] or match[2]].text, text)

    def _token(self, piece: Piece) -> str:
        token = f"JQ{len(self._tags):04d}Z"
        self._tags[token] = piece
        return token

    def _place(self, text: str) -> str:
        """Block tags in the form that suits their place: a comment in content, `mj-raw` around it between elements."""
        placed: list[str] = []
        open_elements: list[str] = []
        for match in _MARKUP.finditer(text):
            parent = open_elements[-1] if open_elements else ""
            if match["comment"]:
                self._refuse_at(match.start(), "write comments as {# … #}, HTML comments would be sent")
            elif not match["name"]:
                placed.append(self._place_text(match[0], parent, match.start()))
            elif parent in _CONTENT and (match["name"] != parent or not match["close"]):
                if match["name"].startswith("mj-"):
                    self._refuse_at(match.start(), f"<{match['name']}> cannot stand inside <{parent}>")
                placed.append(match[0])
            else:
                self._enter(match, open_elements)
                placed.append(match[0])
        if open_elements:
            raise BadConfig(f"{self._source.file}: <{open_elements[-1]}> is not closed.")
        return "".join(placed)

    def _enter(self, match: re.Match[str], open_elements: list[str]) -> None:
        name = match["name"]
        if match["close"]:
            if not open_elements or open_elements.pop() != name:
                self._refuse_at(match.start(), f"</{name}> closes nothing that is open")
            return
        in_attributes = "mj-attributes" in open_elements
        if name not in _CONTENT | _LEAVES | _STRUCTURE:
            known = ", ".join(sorted(_CONTENT | _LEAVES | _STRUCTURE))
            self._refuse_at(match.start(), f"<{name}> is not an element templates may use. Known elements: {known}")
        if token := _TOKEN.search(re.sub(r"\"[^\"]*\"|'[^']*'", "", match["attributes"])):
            self._refuse_tag(token[0], "stands between attributes; put it inside the quotes of one")
        if not match["attributes"].rstrip().endswith("/"):
            if name in _LEAVES:
                self._refuse_at(match.start(), f"<{name}> is written <{name} …/>")
            open_elements.append(name)
        elif name in _STRUCTURE and not in_attributes:
            self._refuse_at(match.start(), f"<{name}/> is empty")

    def _place_text(self, text: str, parent: str, position: int) -> str:
        def place(match: re.Match[str]) -> str:
            token, piece = match[0], self._tags[match[0]]
            if parent == "mj-style":
                self._refuse_tag(token, "cannot stand in a style sheet")
            if parent in ("mj-title", "mj-preview"):
                return token
            if parent in _CONTENT:
                return f"<!--{token}-->" if piece.is_block else token
            if piece.is_value:
                self._refuse_tag(token, "cannot stand here; put it into mj-text")
            if parent not in _AROUND_CHILDREN:
                self._refuse_tag(token, f"cannot stand directly in <{parent or 'the file'}>")
            return f"<mj-raw><!--{token}--></mj-raw>"

        if parent not in _CONTENT and (stray := _TOKEN.sub("", text).strip()):
            self._refuse_at(position + text.index(stray[0]), f"{stray[:40]!r} stands outside mj-text")
        return _TOKEN.sub(place, text)

    def _refuse_at(self, position: int, problem: str) -> NoReturn:
        index = min(bisect_right(self._starts, position), len(self._source.pieces)) - 1
        piece = self._source.pieces[index]
        within = 0 if piece.tag else piece.text.count("\n", 0, position - self._starts[index])
        refuse(piece.file, piece.line + within, f"{problem}.")

    def _refuse_tag(self, token: str, problem: str) -> NoReturn:
        piece = self._tags[token]
        refuse(piece.file, piece.line, f"{piece.text} {problem}.")


def plain_text(tokenised: Tokenised) -> str:
    """
    The text part: mj-text as paragraphs, mj-button and links as `label: url`, mj-image as its alt text.

    An alt that the text right after it repeats is left out. Addresses stand between LINK_BEGINS and LINK_ENDS.
    """
    reader = _TextReader(tokenised.restore_some)
    reader.feed(tokenised.text)
    reader.close()
    return tokenised.restore_some(reader.text())


class _TextReader(HTMLParser):
    """Collects what a person would read, in order, with block tags where they stood."""

    _READ = frozenset({"mj-text", "mj-button", "mj-table"})
    _BREAKS = frozenset({"p", "li", "tr", "ul", "ol", "h1", "h2", "h3", "div", "table"})

    def __init__(self, restore: Callable[[str], str]) -> None:
        super().__init__(convert_charrefs=True)
        self._restore = restore
        self._parts: list[str] = []
        self._in_content = False
        self._links: list[tuple[str, int]] = []  # address, and where its label begins
        self._alt = -1  # where the alt of the last image stands

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in self._READ:
            self._in_content = True
        if tag in ("a", "mj-button"):
            self._links.append((attributes.get("href", ""), len(self._parts)))
        elif tag in ("mj-image", "img") and attributes.get("alt"):
            self._parts += ["\n\n", attributes["alt"], "\n\n"]
            self._alt = len(self._parts) - 2
        elif tag == "br":
            self._parts.append("\n")
        elif tag == "li":
            self._parts.append("\n- ")
        elif tag in self._BREAKS or tag == "mj-text":
            self._parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._READ:
            self._in_content = False
        if tag in ("a", "mj-button") and self._links:
            address, start = self._links.pop()
            label = "".join(self._parts[start:]).strip()
            if address and address != label:
                marked = f"{LINK_BEGINS}{address}{LINK_ENDS}"
                self._parts.append(f": {marked}" if label else marked)
        if tag in self._READ:
            self._parts.append("\n\n")
        elif tag in self._BREAKS:
            self._parts.append("\n")
        elif tag in ("td", "th"):
            self._parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._in_content:
            return
        words = re.sub(r"[ \t\r\n]+", " ", data)
        if self._alt >= 0 and words.strip():
            if self._restore(words.strip()) == self._restore(self._parts[self._alt]):
                self._parts[self._alt] = ""
            self._alt = -1
        self._parts.append(words)

    def handle_comment(self, data: str) -> None:
        self._parts.append(f"<!--{data}-->")

    def text(self) -> str:
        return re.sub(r"\n{3,}", "\n\n", re.sub(r" *\n *", "\n", "".join(self._parts))).strip()
