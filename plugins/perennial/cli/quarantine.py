"""Rows that were refused."""

from typing import Annotated

import typer

from perennial.cli.output import console, show_facts, show_rows

app = typer.Typer(no_args_is_help=True, help="Rows that were refused.")


@app.command("list")
def quarantine_list(context: typer.Context) -> None:
    """How many rows of which source were refused, and why."""
    from perennial.flows.quarantine import reasons

    rows = reasons(context.obj)
    if rows:
        show_rows(rows, list(rows[0]))
    else:
        console.print("No row is refused.")


@app.command("show")
def quarantine_show(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="Of this source only.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many rows.")] = 20,
) -> None:
    """Refused rows as they came, and why: newest file first."""
    from perennial.flows.quarantine import refused_rows

    for row in refused_rows(source, limit, context.obj):
        console.print(f"{row['file']}, row {row['row']}: {row['reasons']}", style="bold", markup=False, soft_wrap=True)
        console.print(f"  {row['content']}", markup=False, soft_wrap=True)


@app.command("replay")
def quarantine_replay(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="Whose mapping or rules were corrected.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many rows pass now.")] = False,
) -> None:
    """Take in the refused rows that pass now; the next run counts them on their own days."""
    from perennial.flows.quarantine import replay

    show_facts(replay(source, context.obj, dry_run=dry_run))
