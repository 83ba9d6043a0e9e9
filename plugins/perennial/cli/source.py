"""Where data comes from."""

from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.output import console

app = typer.Typer(no_args_is_help=True, help="Where data comes from.")


@app.command("new")
def source_new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it: lower-case letters, digits, underscores.")],
    file: Annotated[Path, typer.Option("--from", exists=True, dir_okay=False, help="A CSV file of it.")],
    contract: Annotated[str, typer.Option(help="What its rows are.")] = "order_lines",
) -> None:
    """Write a first sources/<name>.yaml into your include folder, guessed from a CSV file, for you to finish."""
    from perennial.flows.new_source import new_source

    written, proposal = new_source(name, file, contract, context.obj)
    console.print(f"Written: {written}", markup=False, soft_wrap=True)
    for column, source in proposal.columns.items():
        console.print(f"  {column:<16} from {source}", markup=False)
    for column in proposal.missing:
        console.print(f"  {column:<16} required, and not found: add it", markup=False)
    if proposal.last:
        console.print(f"The rows tell of {proposal.first} to {proposal.last}, in their own time.")
    inbox = context.obj.inbox_dir / name
    console.print(f"Check the file, `perennial validate`, and copy your data to {inbox}", markup=False, soft_wrap=True)
