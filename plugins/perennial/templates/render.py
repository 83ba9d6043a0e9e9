"""From a compiled template and one person's context to the mail they read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Any, cast

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import escape

from perennial.foundation.errors import BadConfig
from perennial.templates.compile import CompiledTemplate
from perennial.templates.context import RenderContext
from perennial.templates.filters import FILTERS, OURS, REWRITE, Rewrite
from perennial.templates.source import TESTS

MAX_OUTPUT = 500_000  # characters of one part

Pieces = tuple[str, ...]  # texts of the template (even places) and values filled in (odd places), by turns
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))


class _ByTurns(CodeGenerator):
    """Compiles each stretch of a template to one tuple: its own text, a value, its own text, a value, and so on."""

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802 - its API
        if frame.buffer is not None or frame.require_output_check:
            self.fail("macros, blocks and layouts are not allowed here", node.lineno)
        finalize = self._make_finalize()
        self.writeline("yield (", node)
        own_text = ""
        for child in node.nodes:
            try:
                own_text += self._output_child_to_const(child, frame, finalize)
            except nodes.Impossible:
                self.write(f"{own_text!r}, environment.{'escaped' if frame.eval_ctx.autoescape else 'plain'}(")
                self.visit(child, frame)
                self.write("), ")
                own_text = ""
        self.write(f"{own_text!r}, '')" if own_text else ")")


class _Environment(SandboxedEnvironment):
    code_generator_class = _ByTurns
    plain = str

    @staticmethod
    def escaped(value: object) -> str:
        """A value as HTML shows it."""
        return _escaped(value) if type(value) is str else str(escape(value))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`a.b`: contexts are plain dicts, which are asked by key first."""
        return obj[attribute] if type(obj) is dict and attribute in obj else super().getattr(obj, attribute)


@lru_cache(
    maxsize=4096
)  # goods and shop come again and again; of plain strings only, for Markup equals the same string
def _escaped(text: str) -> str:
    return str(escape(text))


# Sources are already held to a harmless part of Jinja (source.py); the sandbox is the second wall.
_ENVIRONMENTS = {
    escape: _Environment(autoescape=escape, undefined=StrictUndefined, extensions=()) for escape in (True, False)
}
for _environment in _ENVIRONMENTS.values():
    _environment.globals.clear()
    _environment.filters = {**FILTERS, **OURS}
    _environment.tests = {name: test for name, test in _environment.tests.items() if name in TESTS}


@dataclass(frozen=True)
class Rendered:
    """One mail: a subject of one line, and the two forms of its body. The pieces of each, joined, are the whole."""

    subject: Pieces
    html: Pieces
    text: Pieces


def render(compiled: CompiledTemplate, context: RenderContext, rewrite: Rewrite | None = None) -> Rendered:
    """
    Fill in a template. `rewrite` is asked for the address of each link; without it they stay as they are.

    Values are escaped in the HTML part and stand as they are in subject and text; Jinja inside a value is only text.

    Raises BadConfig naming the template and its part, never a value.
    """
    values = {**context.model_dump(), REWRITE: rewrite}
    subject = _tidy(_part(compiled, "subject", compiled.subject, values))
    line = "".join(subject)
    if not line or _CONTROLS.search(line):
        raise BadConfig(f"{compiled.name}: the subject must be one line of text without control characters.")
    html = _part(compiled, "html part", compiled.html, values, escape=True)
    text = _tidy(_part(compiled, "text part", compiled.text, values))
    return Rendered(subject, html, (*text, "\n") if len(text) % 2 == 0 else (*text[:-1], text[-1] + "\n"))


def _part(
    compiled: CompiledTemplate, part: str, source: str, values: dict[str, object], *, escape: bool = False
) -> Pieces:
    pieces: list[str] = []
    size = 0
    try:
        for stretch in cast("Iterator[Pieces]", _template(source, escape=escape).generate(values)):
            pieces += stretch
            size += sum(map(len, stretch))
            if size > MAX_OUTPUT:
                raise BadConfig(f"{compiled.name}: the {part} grows beyond {MAX_OUTPUT} characters.")
    except TemplateError as error:
        raise BadConfig(f"{compiled.name}: the {part} cannot be rendered: {error.message}.") from error
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        # A filter was given what it cannot take. The error's text may hold the value, so it is not repeated.
        raise BadConfig(f"{compiled.name}: the {part} cannot be rendered ({type(error).__name__}).") from error
    return tuple(pieces)


@lru_cache(maxsize=256)
def _template(source: str, *, escape: bool) -> Template:
    return _ENVIRONMENTS[escape].from_string(source)


def _tidy(pieces: Pieces) -> Pieces:
    """No blanks at line ends and around, no more than one empty line: what branches and loops leave behind."""
    values = pieces[1::2]
    if "\n" in "".join(values) or tuple(map(str.strip, values)) != values:
        return _tidied(pieces)
    # Of such values it only matters whether there are any; the same texts come again and again.
    tidied = list(pieces)
    tidied[::2] = _tidied_texts(pieces[::2], tuple(map(bool, values)))
    return tuple(tidied)


@lru_cache(maxsize=1024)
def _tidied_texts(own_texts: Pieces, are_filled: tuple[bool, ...]) -> Pieces:
    pieces = chain.from_iterable(zip_longest(own_texts, ("x" * is_filled for is_filled in are_filled), fillvalue=""))
    return _tidied(tuple(pieces))[: 2 * len(own_texts) : 2]


def _tidied(pieces: Pieces) -> Pieces:
    # Between pieces stands a NUL, which neither a context nor the ledger lets in.
    marked = "\0".join(pieces).rstrip(_SPACE + "\0")
    body = marked.lstrip(_SPACE + "\0")
    tidied = ["\0" * (marked.count("\0") - body.count("\0"))]
    had_text = True
    for line in body.split("\n"):
        text = line.rstrip(" \t\0")
        if text or had_text:
            tidied += ("\n", text)
        tidied.append("\0" * line.count("\0", len(text)))
        had_text = bool(text)
    del tidied[1]  # before the first line
    whole = "".join(tidied).split("\0")
    return (*whole, *[""] * (len(pieces) - len(whole)))
