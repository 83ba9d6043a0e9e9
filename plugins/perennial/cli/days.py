"""Whole days: run, made again, looked at as they were."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.options import DAY_FORMAT
from perennial.cli.output import console, progress
from perennial.foundation.days import Origin, Run, run_of, yesterday
from perennial.foundation.settings import Settings

app = typer.Typer()


@app.command()
def run(
    context: typer.Context,
    day: Annotated[datetime | None, typer.Option(formats=DAY_FORMAT, help="A business day: 2026-01-31.")] = None,
    first: Annotated[datetime | None, typer.Option("--from", formats=DAY_FORMAT, help="First day.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=DAY_FORMAT, help="Last day.")] = None,
    origin: Annotated[Origin | None, typer.Option(help="Default: live (or demo) for yesterday, else replay.")] = None,
) -> None:
    """
    Run one day (default: yesterday), or several as a backfill: ingest, refresh, score, plan, publish, deliver.

    Several days are published once, as of the last.
    """
    from perennial.flows.day import runs_between

    settings: Settings = context.obj
    if (day and (first or last)) or (last and not first):
        raise typer.BadParameter("Give --day, or --from and --to.")
    if first and origin:
        raise typer.BadParameter(
            "--origin goes with one day: --from and --to backfill past days, and run yesterday live."
        )
    if first:
        runs = runs_between(first.date(), (last or first).date(), settings)
    else:
        runs = [run_of(day.date() if day else yesterday(settings), settings, origin)]
    for one in runs:
        run_day(one, settings, publishes=one == runs[-1])


def run_day(one: Run, settings: Settings, *, publishes: bool = True) -> None:
    """Run every step of a day, showing progress."""
    from perennial.flows.day import steps

    todo = list(steps(one, settings, publishes=publishes))
    with progress(f"{one.day} ({one.origin})", len(todo)) as advance:
        for name, call in todo:
            advance(name, call())


@app.command()
def rebuild(context: typer.Context) -> None:
    """Make a lost warehouse anew from landing, ledger and rules: every day again, with what was known then."""
    from perennial.flows.rebuild import steps

    todo = list(steps(context.obj))
    with progress("rebuild", len(todo)) as advance:
        for name, call in todo:
            advance(name, call())


@app.command()
def replay(
    context: typer.Context,
    day: Annotated[datetime, typer.Option(formats=DAY_FORMAT, help="A business day that was run: 2026-01-31.")],
    into: Annotated[Path, typer.Option(help="A new folder: its warehouse and publication are made there.")],
    history: Annotated[bool, typer.Option("--history", help="Run every day before it too, for the histories.")] = False,
) -> None:
    """Make a past day's tables once more, with what was known then, in a folder of their own."""
    from perennial.flows.rebuild import replay as steps_of_replay

    todo = list(steps_of_replay(day.date(), into, context.obj, with_history=history))
    with progress(f"replay {day.date()}", len(todo)) as advance:
        for name, call in todo:
            advance(name, call())
    console.print(f"PERENNIAL_HOME={into} perennial query … asks it.", markup=False, soft_wrap=True)
