"""The rights of one person."""

from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.options import BY, WHY
from perennial.cli.output import show_facts

app = typer.Typer(no_args_is_help=True, help="The rights of one person: all that is held, and its end.")


@app.command("export")
def person_export(
    context: typer.Context,
    who: Annotated[str, typer.Argument(help="A customer number, also a former one, or an e-mail address.")],
    into: Annotated[Path, typer.Option(help="A new folder.")],
) -> None:
    """Write all that is held about a person into a folder, as JSON, a file a table."""
    from perennial.flows import persons

    show_facts(persons.export(who, into, context.obj))


@app.command("erase")
def person_erase(
    context: typer.Context,
    who: Annotated[list[str], typer.Argument(help="Customer numbers, also former ones, or e-mail addresses.")],
    by: BY,
    why: WHY,
) -> None:
    """
    Erase people from everything that is held, for good. Stopped, or told to wait, run it again.

    The warehouse is made anew from what is left, once, which takes as long as `perennial rebuild`.
    """
    from perennial.flows import erasure

    show_facts(erasure.erase(who, context.obj, by=by, why=why))
