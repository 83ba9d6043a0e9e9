"""Codes that mails bring along."""

from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.options import BY
from perennial.cli.output import show_facts

app = typer.Typer(no_args_is_help=True, help="Codes that mails bring along.")


@app.command("load")
def coupons_load(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(help="As a campaign's `offer: {coupons: …}` names it.")],
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A code a line, or CSV with a column code.")
    ],
    by: BY,
) -> None:
    """Add codes to a pool. Codes that are known already stay where they are."""
    from perennial.flows.coupons import load

    show_facts(load(pool, file, context.obj, by=by))


@app.command("list")
def coupons_list(context: typer.Context) -> None:
    """How many codes are left in each pool."""
    from perennial.ledger import open_ledger

    with open_ledger(context.obj) as ledger:
        show_facts(ledger.free_coupons() or {"pools": "none"})
