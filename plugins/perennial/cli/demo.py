"""A demo company."""

from datetime import datetime
from typing import Annotated, Any

import typer

from perennial.cli.days import run_day
from perennial.cli.options import DAY_FORMAT
from perennial.cli.output import console, show_facts
from perennial.foundation.days import run_of, yesterday
from perennial.foundation.settings import Settings

app = typer.Typer(no_args_is_help=True, help="A demo company to try everything on.")


@app.command("build")
def demo_build(
    context: typer.Context,
    customers: Annotated[int, typer.Option(min=500, max=2_000_000)] = 2_000,
    first: Annotated[datetime, typer.Option("--from", formats=DAY_FORMAT)] = datetime(2024, 8, 1),  # noqa: DTZ001
    last: Annotated[datetime, typer.Option("--to", formats=DAY_FORMAT)] = datetime(2026, 1, 31),  # noqa: DTZ001
    seed: int | None = None,
) -> None:
    """Simulate a shop: write its files into the inbox and set the demo clock."""
    from perennial.flows import demo

    chosen: dict[str, Any] = {} if seed is None else {"seed": seed}
    show_facts(demo.build(context.obj, customers, first.date(), last.date(), **chosen))


@app.command("react")
def demo_react(context: typer.Context) -> None:
    """Let one day go by: the shop's files arrive, its customers answer the mail they got, the clock moves on."""
    from perennial.flows import demo

    settings = demo.advance(context.obj)
    console.print(f"It is {settings.now:%Y-%m-%d %H:%M} in the demo shop. `perennial run` runs {yesterday(settings)}.")


@app.command("loop")
def demo_loop(context: typer.Context, days: Annotated[int, typer.Option(min=1, max=365)] = 30) -> None:
    """Run the shop for some days: each day is run, its mails are delivered and answered."""
    from perennial.flows import demo

    settings: Settings = context.obj
    for _ in range(days):
        settings = demo.advance(settings)
        run_day(run_of(yesterday(settings), settings), settings)
