"""From a compiled template and one person's context to the mail they read."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from perennial.foundation.errors import BadConfig
from perennial.templates.compile import CompiledTemplate
from perennial.templates.context import RenderContext
from perennial.templates.filters import FILTERS
from perennial.templates.source import TESTS

MAX_OUTPUT = 500_000  # characters of one part

# Sources are already held to a harmless part of Jinja (source.py); the sandbox is the second wall.
_ENVIRONMENTS = {
    escape: SandboxedEnvironment(autoescape=escape, undefined=StrictUndefined, extensions=())
    for escape in (True, False)
}
for _environment in _ENVIRONMENTS.values():
    _environment.globals.clear()
    _environment.filters = dict(FILTERS)
    _environment.tests = {name: test for name, test in _environment.tests.items() if name in TESTS}


@dataclass(frozen=True)
class Rendered:
    """One mail: a subject of one line, and the two forms of its body."""

    subject: str
    html: str
    text: str


def render(compiled: CompiledTemplate, context: RenderContext) -> Rendered:
    """
    Fill in a template.

    Values are escaped in the HTML part and stand as they are in subject and text; Jinja inside a value is only text.

    Raises BadConfig naming the template and its part, never a value.
    """
    values = context.model_dump()
    subject = _part(compiled, "subject", compiled.subject, values).strip()
    if not subject or any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in subject):
        raise BadConfig(f"{compiled.name}: the subject must be one line of text without control characters.")
    html = _part(compiled, "html part", compiled.html, values, escape=True)
    return Rendered(subject, html, _tidy(_part(compiled, "text part", compiled.text, values)))


def _part(
    compiled: CompiledTemplate, part: str, source: str, values: dict[str, object], *, escape: bool = False
) -> str:
    chunks: list[str] = []
    room = MAX_OUTPUT
    try:
        for chunk in _template(source, escape=escape).generate(values):
            room -= len(chunk)
            if room < 0:
                raise BadConfig(f"{compiled.name}: the {part} grows beyond {MAX_OUTPUT} characters.")
            chunks.append(chunk)
    except TemplateError as error:
        raise BadConfig(f"{compiled.name}: the {part} cannot be rendered: {error.message}.") from error
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        # A filter was given what it cannot take. The error's text may hold the value, so it is not repeated.
        raise BadConfig(f"{compiled.name}: the {part} cannot be rendered ({type(error).__name__}).") from error
    return "".join(chunks)


@lru_cache(maxsize=256)
def _template(source: str, *, escape: bool) -> Template:
    return _ENVIRONMENTS[escape].from_string(source)


def _tidy(text: str) -> str:
    """No blanks at line ends, no more than one empty line: what branches and loops leave behind."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"
