"""
Template files as pieces of text and Jinja tags, with their includes and layout put in place.

Only a small part of Jinja is allowed: values, `if`, `for`, `with`, `include`, and one layout by `extends` and `block`.
Nothing allowed can make a text longer than its parts, loops run over a context's lists and nest two deep, so no
template can take long or grow large, whoever wrote it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from jinja2 import Environment, TemplateSyntaxError, meta, nodes

from perennial.foundation.errors import BadConfig
from perennial.templates.context import VARIABLES
from perennial.templates.filters import FILTERS

TESTS = frozenset({"defined", "even", "none", "odd"})
MAX_LOOPS = 2
MAX_LITERAL = 500  # characters of one text inside a tag
MAX_SOURCE = 100_000  # characters of one template with everything included

_TAGS = frozenset({"if", "elif", "else", "endif", "for", "endfor", "with", "endwith"})
_ASSEMBLY = frozenset({"include", "extends", "block", "endblock"})
_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.If, nodes.For,
    nodes.With, nodes.CondExpr, nodes.Filter, nodes.Test,
)  # fmt: skip
_PLAIN = Environment(autoescape=True)  # only ever reads; rendering has its own, sandboxed
_PLAIN.filters = dict(FILTERS)
_INCLUDE = re.compile(r"\{%[-+]?\s*\w+\s+(?:\"([^\"]*)\"|'([^']*)')\s*[-+]?%\}")
_BLOCK = re.compile(r"\{%[-+]?\s*block\s+(\w+)\s*[-+]?%\}")


@dataclass(frozen=True)
class Piece:
    """A stretch of plain text (`tag` empty) or one Jinja tag: `=` for `{{ … }}`, else its first word."""

    text: str
    tag: str
    file: Path
    line: int

    @property
    def is_value(self) -> bool:
        return self.tag == "="

    @property
    def is_block(self) -> bool:
        return bool(self.tag) and not self.is_value


@dataclass(frozen=True)
class Source:
    """A whole template, its pieces in order."""

    file: Path
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


def read_source(file: Path, shared: Sequence[Path], locale: str) -> Source:
    """
    Read one template file with everything it includes, and check it.

    `{% include "_shared/footer.mjml.j2" %}` is looked up in each of `shared` as `<locale>/footer.mjml.j2`, then as
    `footer.mjml.j2`; `extends` likewise.

    Raises BadConfig naming file, line and what is wrong.
    """
    source = Source(file, tuple(_expand(file, shared, locale, ())))
    _check(source)
    return source


def refuse(file: Path, line: int, problem: str) -> NoReturn:
    raise BadConfig(f"{file}, line {line}: {problem}")


def _expand(file: Path, shared: Sequence[Path], locale: str, within: tuple[Path, ...]) -> list[Piece]:
    if file in within:
        raise BadConfig(f"{file}: includes itself, by way of {', '.join(path.name for path in within)}.")
    pieces: Sequence[Piece] = _pieces(file, _read(file))
    layout = next((piece for piece in pieces if piece.text.strip()), None)
    if layout and layout.tag == "extends":
        base = _expand(_shared_file(layout, shared, locale), shared, locale, (*within, file))
        pieces = _fill(base, _blocks(pieces[pieces.index(layout) + 1 :]))
    expanded = []
    for piece in pieces:
        if piece.tag == "include":
            expanded += _expand(_shared_file(piece, shared, locale), shared, locale, (*within, file))
        elif piece.tag == "extends":
            refuse(piece.file, piece.line, "extends comes first in a file, and once.")
        else:
            expanded.append(piece)
    # A file being extended keeps its blocks for the file that extends it.
    return expanded if within else [piece for piece in expanded if piece.tag not in ("block", "endblock")]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BadConfig(f"{file}: no such file.") from error
    except UnicodeDecodeError as error:
        raise BadConfig(f"{file}: is not UTF-8: {error}.") from error


def _tokens(file: Path, text: str) -> list[tuple[int, str, str]]:
    """Line, kind and text of everything in the file, as Jinja's own lexer sees it."""
    try:
        return list(_PLAIN.lex(text, filename=str(file)))
    except TemplateSyntaxError as error:
        raise BadConfig(f"{file}, line {error.lineno}: {error.message}") from error


@lru_cache(
    maxsize=512
)  # layouts and shared pieces are in every mail, and each is compiled to be checked, then to be sent
def _pieces(file: Path, text: str) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    tag: list[tuple[int, str, str]] = []
    for line, kind, value in _tokens(file, text):
        if kind in ("variable_begin", "block_begin", "comment_begin", "raw_begin"):
            tag = [(line, kind, value)]
        elif not tag:
            pieces.append(Piece(value, "", file, line))
        else:
            tag.append((line, kind, value))
        if kind == "raw_begin":
            refuse(file, line, "{% raw %} is not allowed.")
        if kind.endswith("_end") and tag:
            if kind != "comment_end":
                pieces.append(_tag(tag, file))
            tag = []
    if tag:
        refuse(file, tag[0][0], f"{tag[0][2]} is not closed.")
    return tuple(pieces)


def _tag(tokens: list[tuple[int, str, str]], file: Path) -> Piece:
    line, kind, _ = tokens[0]
    text = "".join(value for _, _, value in tokens)
    if kind == "variable_begin":
        return Piece(text, "=", file, line)
    word = next((value for _, kind, value in tokens if kind == "name"), "")
    if word not in _TAGS | _ASSEMBLY:
        refuse(file, line, f"{{% {word} %}} is not allowed. Allowed: {', '.join(sorted(_TAGS | _ASSEMBLY))}.")
    return Piece(text, word, file, line)


def _shared_file(tag: Piece, shared: Sequence[Path], locale: str) -> Path:
    match = _INCLUDE.fullmatch(tag.text)
    name = (match[1] or match[2] or "") if match else ""
    if not re.fullmatch(r"_shared/[a-z0-9_]+(\.[a-z0-9]+)*\.j2", name):
        refuse(tag.file, tag.line, f'{tag.text}: name a file of _shared, such as "_shared/footer.mjml.j2".')
    name = name.removeprefix("_shared/")
    places = [folder / part for folder in shared for part in (f"{locale}/{name}", name)]
    for place in places:
        if place.is_file():
            return place
    refuse(tag.file, tag.line, f"{tag.text}: there is neither {' nor '.join(map(str, places))}.")


def _blocks(pieces: Sequence[Piece]) -> dict[str, list[Piece]]:
    """{name: content} of a file that extends a layout; outside its blocks there may be nothing."""
    blocks: dict[str, list[Piece]] = {}
    name = None
    for piece in pieces:
        if piece.tag == "block":
            if name is not None:
                refuse(piece.file, piece.line, "blocks cannot be nested.")
            name = _block_name(piece)
            blocks[name] = [piece]
        elif name is not None:
            blocks[name].append(piece)
            name = None if piece.tag == "endblock" else name
        elif piece.text.strip():
            refuse(piece.file, piece.line, f"{piece.text.strip()[:40]!r} stands outside the blocks of the layout.")
    if name is not None:
        refuse(blocks[name][0].file, blocks[name][0].line, f"block {name} has no endblock.")
    return {name: content[1:-1] for name, content in blocks.items()}


def _fill(layout: list[Piece], blocks: dict[str, list[Piece]]) -> list[Piece]:
    filled: list[Piece] = []
    skipping = False
    unused = set(blocks)
    for piece in layout:
        if skipping and piece.tag == "block":
            refuse(piece.file, piece.line, "blocks cannot be nested.")
        if piece.tag == "block" and (name := _block_name(piece)) in blocks:
            filled += blocks[name]
            unused.discard(name)
            skipping = True
        elif not skipping:
            filled.append(piece)
        skipping = skipping and piece.tag != "endblock"
    for name in unused:
        known = ", ".join(_block_name(piece) for piece in layout if piece.tag == "block")
        raise BadConfig(f"{blocks[name][0].file}: the layout has no block {name!r}. It has: {known}.")
    return filled


def _block_name(tag: Piece) -> str:
    match = _BLOCK.fullmatch(tag.text)
    return match[1] if match else refuse(tag.file, tag.line, f"{tag.text}: write {{% block name %}}.")


@lru_cache(maxsize=512)
def _check(source: Source) -> None:
    if len(source.text) > MAX_SOURCE:
        raise BadConfig(f"{source.file}: {len(source.text)} characters with its includes; at most {MAX_SOURCE}.")
    try:
        tree = _PLAIN.parse(source.text)
    except TemplateSyntaxError as error:
        refuse(*_where(source, error.lineno), error.message or "cannot be read.")
    _check_nodes(tree, source, loops=0)
    for unknown in sorted(meta.find_undeclared_variables(tree) - VARIABLES):
        line = next(node.lineno for node in tree.find_all(nodes.Name) if node.name == unknown)
        known = ", ".join(sorted(VARIABLES))
        refuse(*_where(source, line, unknown), f"undefined variable {unknown!r}. Known variables: {known}.")


def _check_nodes(node: nodes.Node, source: Source, loops: int) -> None:
    if type(node) not in _NODES:
        refuse(*_where(source, node.lineno), f"{type(node).__name__.lower()} is not allowed in a template.")
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        allowed = ", ".join(sorted(FILTERS))
        refuse(*_where(source, node.lineno, node.name), f"filter {node.name!r} is not allowed. Allowed: {allowed}.")
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        allowed = ", ".join(sorted(TESTS))
        refuse(*_where(source, node.lineno, node.name), f"test {node.name!r} is not allowed. Allowed: {allowed}.")
    if isinstance(node, nodes.Const) and len(str(node.value)) > MAX_LITERAL:
        refuse(*_where(source, node.lineno), f"a literal in a tag has at most {MAX_LITERAL} characters.")
    loops += isinstance(node, nodes.For)
    if loops > MAX_LOOPS or (isinstance(node, nodes.For) and node.recursive):
        refuse(*_where(source, node.lineno), f"loops nest at most {MAX_LOOPS} deep and do not recurse.")
    for child in node.iter_child_nodes():
        _check_nodes(child, source, loops)


def _where(source: Source, line: int, word: str = "") -> tuple[Path, int]:
    """File and line of a tag on a line of the whole text; where several share the line, the one with `word` in it."""
    start, found = 1, []
    for piece in source.pieces:
        end = start + piece.text.count("\n")
        if start <= line <= end:
            found.append((not (piece.tag and word in piece.text), piece.file, piece.line + line - start))
        start = end
    return min(found, key=lambda at: at[0])[1:] if found else (source.file, 1)
