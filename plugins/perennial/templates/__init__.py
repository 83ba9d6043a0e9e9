"""E-mail templates: from a campaign's MJML and Jinja files to what one person reads."""

from perennial.templates.compile import CompiledTemplate, compile_template
from perennial.templates.context import Product, RenderContext

__all__ = ["CompiledTemplate", "Product", "RenderContext", "compile_template"]
