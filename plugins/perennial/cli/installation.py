"""What this installation is, and whether all is in order."""

import typer

from perennial import __version__
from perennial.cli.output import console
from perennial.foundation.errors import PerennialError

app = typer.Typer()


@app.command()
def validate(context: typer.Context) -> None:
    """Check every YAML, SQL and template file; nothing is run."""
    from perennial.flows.validate import checks

    failed = 0
    for name, check in checks(context.obj):
        try:
            console.print(f"[green]ok[/]      {name}: {check()}")
        except PerennialError as error:
            failed += 1
            console.print(f"[red]wrong[/]   {name}:")
            console.print(f"        {error}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def doctor(context: typer.Context) -> None:
    """Check this installation: versions, folders, files, locks, mail server."""
    from perennial.flows.doctor import examine

    worst = "ok"
    colours = {"ok": "green", "warning": "yellow", "wrong": "red"}
    for finding in examine(context.obj):
        worst = max(worst, finding.state, key=list(colours).index)
        console.print(f"[{colours[finding.state]}]{finding.state:<8}[/] {finding.about}: ", end="")
        console.print(finding.what, markup=False)
    if worst == "wrong":
        raise typer.Exit(1)


@app.command()
def migrate(context: typer.Context) -> None:
    """Raise the ledger to this version's schema; what it holds is kept. Needed after an update, on a server."""
    from perennial.ledger import migrate as migrate_ledger

    before, now = migrate_ledger(context.obj)
    if before == now:
        console.print(f"The ledger has schema {now} already.")
    elif before:
        console.print(f"The ledger was raised from schema {before} to {now}.")
    else:
        console.print(f"A new ledger was made, with schema {now}.")


@app.command()
def version() -> None:
    """The version of Perennial."""
    console.print(__version__)
