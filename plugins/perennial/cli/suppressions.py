"""What keeps mail from an address."""

import sys
from typing import Annotated

import typer

from perennial.cli.options import BY, WHY
from perennial.cli.output import console, show_facts, show_rows

suppress_app = typer.Typer()
app = typer.Typer(no_args_is_help=True, help="What keeps mail from an address.")


@suppress_app.command()
def suppress(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="An e-mail address, or - for one a line from standard input.")],
    by: BY,
    why: WHY,
    topic: Annotated[str, typer.Option(help="Nothing about this; default: nothing at all.")] = "",
    days: Annotated[int | None, typer.Option(min=1, help="For so many days; default: for good.")] = None,
) -> None:
    """Send an address nothing more."""
    from perennial.flows import suppressions

    addresses = [line.strip() for line in sys.stdin if line.strip()] if address == "-" else [address]
    show_facts(suppressions.suppress(addresses, context.obj, by=by, why=why, topic=topic, days=days))


@app.command("show")
def suppressions_show(context: typer.Context, address: str) -> None:
    """What keeps mail from an address, newest first."""
    from perennial.flows import suppressions

    if rows := suppressions.show(address, context.obj):
        show_rows(rows, list(rows[0]))
    else:
        console.print("Nothing keeps mail from it.")


@app.command("lift")
def suppressions_lift(
    context: typer.Context,
    address: str,
    by: BY,
    why: WHY,
) -> None:
    """Send to an address again, unless the person unsubscribed or complained."""
    from perennial.flows import suppressions

    show_facts(suppressions.lift(address, context.obj, by=by, why=why))
