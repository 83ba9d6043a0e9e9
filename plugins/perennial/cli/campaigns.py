"""What is sent to whom, and why."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.options import BY, DAY_FORMAT, WHY
from perennial.cli.output import console, show_facts, show_rows
from perennial.foundation.days import run_of, yesterday
from perennial.foundation.settings import Settings

app = typer.Typer(no_args_is_help=True, help="What is sent to whom, and why.")
SEND_DAY = Annotated[datetime, typer.Option(formats=DAY_FORMAT, help="The day its mails are for: 2026-02-01.")]
CAMPAIGN = Annotated[str | None, typer.Argument(help="A campaign; none with --all.")]
ALL = Annotated[bool, typer.Option("--all", help="All delivery, whatever the campaign.")]


@app.command("allow")
def campaigns_allow(
    context: typer.Context,
    campaign: Annotated[str, typer.Argument(help="The campaign that was held for its data.")],
    by: BY,
    why: WHY,
    send_day: Annotated[datetime | None, typer.Option(formats=DAY_FORMAT, help="Default: the clock's today.")] = None,
) -> None:
    """Let a campaign write on one send day although data that it needs are not fit. Then run the day (again)."""
    from perennial.flows.campaigns import allow_stale_data

    show_facts(allow_stale_data(campaign, send_day.date() if send_day else None, context.obj, by=by, why=why))


@app.command("waiting")
def campaigns_waiting(context: typer.Context) -> None:
    """What waits for an approval: counts by reason against last time, and samples."""
    from perennial.flows.approval import waiting

    requests = waiting(context.obj)
    for request in requests:
        console.print(request.subject, style="bold", markup=False, soft_wrap=True)
        console.print(request.body, markup=False, soft_wrap=True)
    if not requests:
        console.print("Nothing waits for an approval.")


@app.command("approve")
def campaigns_approve(context: typer.Context, campaign: str, send_day: SEND_DAY, by: BY, why: WHY) -> None:
    """Say yes to what a campaign would send: it is queued."""
    from perennial.flows.approval import decide

    show_facts(decide(campaign, send_day.date(), context.obj, approved=True, by=by, why=why))


@app.command("reject")
def campaigns_reject(context: typer.Context, campaign: str, send_day: SEND_DAY, by: BY, why: WHY) -> None:
    """Say no to what a campaign would send: nothing of it is ever queued."""
    from perennial.flows.approval import decide

    show_facts(decide(campaign, send_day.date(), context.obj, approved=False, by=by, why=why))


@app.command("pause")
def campaigns_pause(
    context: typer.Context, by: BY, why: WHY, campaign: CAMPAIGN = None, everything: ALL = False
) -> None:
    """Hand over nothing more, of one campaign or of all, until it is resumed. What a worker has in hand still goes."""
    from perennial.flows.approval import pause

    is_new = pause(_one_or_all(campaign, everything), context.obj, by=by, why=why)
    console.print("Paused." if is_new else "It was paused already.")


@app.command("resume")
def campaigns_resume(
    context: typer.Context, by: BY, why: WHY, campaign: CAMPAIGN = None, everything: ALL = False
) -> None:
    """Go on with what was paused. What is more than three days late by then expires."""
    from perennial.flows.approval import resume

    was_paused = resume(_one_or_all(campaign, everything), context.obj, by=by, why=why)
    console.print("Resumed." if was_paused else "It was not paused.")


@app.command("cancel")
def campaigns_cancel(
    context: typer.Context,
    campaign: str,
    by: BY,
    why: WHY,
    send_day: Annotated[datetime | None, typer.Option(formats=DAY_FORMAT, help="Default: all days.")] = None,
) -> None:
    """Call off what is left of a campaign, for good, also in the middle of sending."""
    from perennial.flows.approval import cancel

    show_facts(dict(cancel(campaign, send_day.date() if send_day else None, context.obj, by=by, why=why)))


def _one_or_all(campaign: str | None, everything: bool) -> str | None:
    if (campaign is None) is not everything:
        raise typer.BadParameter("Name a campaign, or give --all.")
    return campaign


@app.command("plan")
def campaigns_plan(
    context: typer.Context,
    day: Annotated[
        datetime | None, typer.Option(formats=DAY_FORMAT, help="A business day; default: yesterday.")
    ] = None,
) -> None:
    """What a run of the day would decide, by the same rules, and what changed since last time. Nothing is decided."""
    from perennial.flows.campaigns import preview

    settings: Settings = context.obj
    one = run_of(day.date() if day else yesterday(settings), settings)
    console.print(f"For {one.send_day}:")
    decided = preview(one, settings)
    show_facts(decided if decided else {"campaigns": "none is due"})


@app.command("preview")
def campaigns_preview(
    context: typer.Context,
    campaign: Annotated[str, typer.Argument(help="A folder of include/templates.")],
    to: Annotated[Path, typer.Option(file_okay=False, help="Where the pages go.")] = Path("preview"),
) -> None:
    """Write a campaign's mails as pages to look at: each language, for somebody known well and somebody unknown."""
    from perennial.campaigns.definition import load_campaign
    from perennial.templates.samples import write_samples

    for page in write_samples(load_campaign(campaign, context.obj), to):
        typer.echo(page)


@app.command("calendar")
def campaigns_calendar(
    context: typer.Context, days: Annotated[int, typer.Option(min=1, max=366, help="How many.")] = 30
) -> None:
    """What is due on the coming days, and for how many people as far as today's data tell."""
    from perennial.flows.send_calendar import calendar

    rows = calendar(days, context.obj)
    if rows:
        show_rows(rows, list(rows[0]))
    else:
        console.print(f"Nothing is due in the next {days} days that can be known today.")
