"""A message of the ledger as the mail that is read."""

from pydantic import ValidationError

from perennial.flows.links import Links
from perennial.foundation.errors import BadConfig
from perennial.ledger import Claimed, NewTemplate
from perennial.templates.compile import CompiledTemplate
from perennial.templates.context import RenderContext
from perennial.templates.render import Rendered, render


def compiled(template: NewTemplate) -> CompiledTemplate:
    """A template as the ledger keeps it, to be filled in."""
    name = f"{template.campaign}/{template.locale}/{template.variant}"
    return CompiledTemplate(name, template.hash, template.subject, template.html, template.text)


def written(message: Claimed, template: CompiledTemplate, links: Links) -> tuple[Rendered, dict[str, str]]:
    """
    A message filled in, and its own links by name.

    Raises BadConfig naming template and field where its context does not fit, and no value.
    """
    own = links.of(message.message_id, template)
    try:
        context = RenderContext.model_validate(message.context | own)
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise BadConfig(f"{template.name}: the context does not fit the template: {fields}") from error
    return render(template, context, links.rewriter(message.message_id)), own
