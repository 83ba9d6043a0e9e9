"""The ledger."""

from typing import Annotated

import typer

from perennial.cli.options import BY
from perennial.cli.output import console, show_facts
from perennial.foundation.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The ledger: what we did, and what people told us.")


@app.command("reconcile")
def ledger_reconcile(
    context: typer.Context,
    by: BY,
    restored: Annotated[
        bool, typer.Option("--restored", help="It is old although nothing shows it: restored on a new host.")
    ] = False,
) -> None:
    """Go on with an old ledger that was put back: nothing it cannot vouch for is sent again."""
    from perennial.flows.delivery import reconcile

    show_facts(reconcile(context.obj, by=by, restored=restored))


@app.command("move")
def ledger_move(
    context: typer.Context,
    to: Annotated[str, typer.Option(help="URL of an empty database; its password may be PERENNIAL_LEDGER_PASSWORD.")],
    by: BY,
) -> None:
    """Move the ledger to another database, such as from the file to a server. Then set PERENNIAL_LEDGER to it."""
    from perennial.ledger import open_ledger

    settings: Settings = context.obj
    with open_ledger(settings) as present, open_ledger(settings.model_copy(update={"ledger": to})) as other:
        show_facts(present.move_to(other, by=by))
    console.print("Set PERENNIAL_LEDGER to the new place; the old ledger queues and sends nothing any more.")
