"""Pages that stand alone: one HTML file each, no scripts, no outside requests, everything escaped."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from perennial.metrics import words


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        whole=words.whole,
        compact=words.compact,
        percent=words.percent,
        points=words.points,
        day=words.long_day,
        short_day=words.short_day,
        plain=words.plain,
    )
    return environment


def render_page(template: str, **context: object) -> str:
    """Render a file of `assets/`."""
    return _environment().get_template(template).render(**context)
