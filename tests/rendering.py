"""Mails as people read them, for tests that are not about their pieces."""

from types import SimpleNamespace

from perennial.templates import render as room
from perennial.templates.compile import CompiledTemplate
from perennial.templates.context import RenderContext


def render(compiled: CompiledTemplate, context: RenderContext) -> SimpleNamespace:
    """`subject`, `html` and `text`, each a string."""
    mail = room.render(compiled, context)
    return SimpleNamespace(subject="".join(mail.subject), html="".join(mail.html), text="".join(mail.text))
