"""The command line: the same flows without Airflow. `perennial --help` lists the commands."""

import logging
import sys
from typing import Annotated

import typer
from rich.console import Console

from perennial.cli import (
    campaigns,
    coupons,
    days,
    delivery,
    demo,
    installation,
    ledger,
    messages,
    person,
    published,
    quarantine,
    source,
    suppressions,
)
from perennial.foundation.errors import PerennialError
from perennial.foundation.settings import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
for commands in (days.app, published.app, delivery.app, suppressions.suppress_app, installation.app):
    app.add_typer(commands)
app.add_typer(source.app, name="source")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(campaigns.app, name="campaigns")
app.add_typer(coupons.app, name="coupons")
app.add_typer(messages.app, name="messages")
app.add_typer(suppressions.app, name="suppressions")
app.add_typer(person.app, name="person")
app.add_typer(ledger.app, name="ledger")
app.add_typer(demo.app, name="demo")


@app.callback()
def main(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is done, table by table.")] = False,
) -> None:
    """Read the settings once; every command gets them."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s")
    context.obj = load_settings()


def entry_point() -> None:
    """Errors raised on purpose are told in plain words, without a traceback."""
    try:
        app()
    except PerennialError as error:
        Console(stderr=True, highlight=False).print(f"Error: {error}", markup=False, soft_wrap=True)
        sys.exit(1)
