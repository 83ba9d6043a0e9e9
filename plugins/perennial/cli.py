"""The command line: the same flows without Airflow. `perennial --help` lists the commands."""

import csv
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from perennial import __version__
from perennial.foundation.days import Origin, Run, run_of, yesterday
from perennial.foundation.errors import PerennialError
from perennial.foundation.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
demo_app = typer.Typer(no_args_is_help=True, help="A demo company to try everything on.")
ledger_app = typer.Typer(no_args_is_help=True, help="The ledger: what we did, and what people told us.")
messages_app = typer.Typer(no_args_is_help=True, help="E-mails of which nobody can tell whether they went out.")
source_app = typer.Typer(no_args_is_help=True, help="Where data comes from.")
campaigns_app = typer.Typer(no_args_is_help=True, help="What is sent to whom, and why.")
suppressions_app = typer.Typer(no_args_is_help=True, help="What keeps mail from an address.")
person_app = typer.Typer(no_args_is_help=True, help="The rights of one person: all that is held, and its end.")
quarantine_app = typer.Typer(no_args_is_help=True, help="Rows that were refused.")
coupons_app = typer.Typer(no_args_is_help=True, help="Codes that mails bring along.")
app.add_typer(source_app, name="source")
app.add_typer(coupons_app, name="coupons")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(campaigns_app, name="campaigns")
app.add_typer(suppressions_app, name="suppressions")
app.add_typer(person_app, name="person")
app.add_typer(demo_app, name="demo")
app.add_typer(messages_app, name="messages")
app.add_typer(ledger_app, name="ledger")

console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
DAY_FORMAT = ["%Y-%m-%d"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet knows one (OWASP: CSV injection)


@app.callback()
def main(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is done, table by table.")] = False,
) -> None:
    """Read the settings once; every command gets them."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s")
    context.obj = load_settings()


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
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="One SELECT over the published tables.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated. Text that a spreadsheet takes for a formula begins with '.")] = False,
) -> None:
    """Query the published tables, as of the last publication."""
    from perennial.flows import reading

    result = reading.query(sql, context.obj)
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(result.column_names)
        writer.writerows([_no_formula(value) for value in row.values()] for row in result.to_pylist())
        return
    show_rows(result.to_pylist(), result.column_names)


@app.command()
def status(context: typer.Context) -> None:
    """What is published, how healthy the data is, what was decided and what became of the mails."""
    from perennial.flows.summary import summary

    console.print(summary(context.obj), markup=False, soft_wrap=True)


@app.command()
def explain(context: typer.Context, customer_id: str) -> None:
    """Who a customer is to us: segments, tier and risk with their reasons, decisions and messages."""
    from perennial.flows import reading

    show_facts(reading.explain(customer_id, context.obj))


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
def deliver(context: typer.Context) -> None:
    """Send what is due now."""
    from perennial.flows.delivery import deliver as deliver_due

    show_facts({"messages": deliver_due(context.obj)})


@app.command()
def collect(context: typer.Context) -> None:
    """Take in what became of mails: from the bounce mailbox, Mailgun (if it may be asked) and what servers refused."""
    from perennial.flows.reports import collect_reports
    from perennial.flows.webhooks import poll_mailgun

    show_facts(collect_reports(context.obj) | poll_mailgun(context.obj))


@app.command()
def suppress(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="An e-mail address, or - for one a line from standard input.")],
    by: Annotated[str, typer.Option(help="Who decides this; kept in the audit log.")],
    why: Annotated[str, typer.Option(help="Kept in the audit log: name nobody.")],
    topic: Annotated[str, typer.Option(help="Nothing about this; default: nothing at all.")] = "",
    days: Annotated[int | None, typer.Option(min=1, help="For so many days; default: for good.")] = None,
) -> None:
    """Send an address nothing more."""
    from perennial.flows import suppressions

    addresses = [line.strip() for line in sys.stdin if line.strip()] if address == "-" else [address]
    show_facts(suppressions.suppress(addresses, context.obj, by=by, why=why, topic=topic, days=days))


@suppressions_app.command("show")
def suppressions_show(context: typer.Context, address: str) -> None:
    """What keeps mail from an address, newest first."""
    from perennial.flows import suppressions

    if rows := suppressions.show(address, context.obj):
        show_rows(rows, list(rows[0]))
    else:
        console.print("Nothing keeps mail from it.")


@suppressions_app.command("lift")
def suppressions_lift(
    context: typer.Context,
    address: str,
    by: Annotated[str, typer.Option(help="Who decides this; kept in the audit log.")],
    why: Annotated[str, typer.Option(help="Kept in the audit log: name nobody.")],
) -> None:
    """Send to an address again, unless the person unsubscribed or complained."""
    from perennial.flows import suppressions

    show_facts(suppressions.lift(address, context.obj, by=by, why=why))


@person_app.command("export")
def person_export(
    context: typer.Context,
    who: Annotated[str, typer.Argument(help="A customer number, also a former one, or an e-mail address.")],
    into: Annotated[Path, typer.Option(help="A new folder.")],
) -> None:
    """Write all that is held about a person into a folder, as JSON, a file a table."""
    from perennial.flows import persons

    show_facts(persons.export(who, into, context.obj))


@person_app.command("erase")
def person_erase(
    context: typer.Context,
    who: Annotated[list[str], typer.Argument(help="Customer numbers, also former ones, or e-mail addresses.")],
    by: Annotated[str, typer.Option(help="Who does this; kept in the audit log.")],
    why: Annotated[str, typer.Option(help="Kept in the audit log: name nobody.")],
) -> None:
    """
    Erase people from everything that is held, for good. Stopped, or told to wait, run it again.

    The warehouse is made anew from what is left, once, which takes as long as `perennial rebuild`.
    """
    from perennial.flows import erasure

    show_facts(erasure.erase(who, context.obj, by=by, why=why))


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


@source_app.command("new")
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


@quarantine_app.command("list")
def quarantine_list(context: typer.Context) -> None:
    """How many rows of which source were refused, and why."""
    from perennial.flows.quarantine import reasons

    rows = reasons(context.obj)
    if rows:
        show_rows(rows, list(rows[0]))
    else:
        console.print("No row is refused.")


@quarantine_app.command("show")
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


@quarantine_app.command("replay")
def quarantine_replay(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="Whose mapping or rules were corrected.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many rows pass now.")] = False,
) -> None:
    """Take in the refused rows that pass now; the next run counts them on their own days."""
    from perennial.flows.quarantine import replay

    show_facts(replay(source, context.obj, dry_run=dry_run))


@demo_app.command("build")
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


@demo_app.command("react")
def demo_react(context: typer.Context) -> None:
    """Let one day go by: the shop's files arrive, its customers answer the mail they got, the clock moves on."""
    from perennial.flows import demo

    settings = demo.advance(context.obj)
    console.print(f"It is {settings.now:%Y-%m-%d %H:%M} in the demo shop. `perennial run` runs {yesterday(settings)}.")


@demo_app.command("loop")
def demo_loop(context: typer.Context, days: Annotated[int, typer.Option(min=1, max=365)] = 30) -> None:
    """Run the shop for some days: each day is run, its mails are delivered and answered."""
    from perennial.flows import demo

    settings: Settings = context.obj
    for _ in range(days):
        settings = demo.advance(settings)
        run_day(run_of(yesterday(settings), settings), settings)


@campaigns_app.command("allow")
def campaigns_allow(
    context: typer.Context,
    campaign: Annotated[str, typer.Argument(help="The campaign that was held for its data.")],
    by: Annotated[str, typer.Option(help="Who decides this; kept in the audit log.")],
    why: Annotated[str, typer.Option(help="Why its data will do; kept in the audit log.")],
    send_day: Annotated[datetime | None, typer.Option(formats=DAY_FORMAT, help="Default: the clock's today.")] = None,
) -> None:
    """Let a campaign write on one send day although data that it needs are not fit. Then run the day (again)."""
    from perennial.flows.campaigns import allow_stale_data

    show_facts(allow_stale_data(campaign, send_day.date() if send_day else None, context.obj, by=by, why=why))


BY = Annotated[str, typer.Option("--by", help="Who decides this; kept in the audit log.")]
WHY = Annotated[str, typer.Option("--why", help="Why; kept in the audit log.")]
SEND_DAY = Annotated[datetime, typer.Option(formats=DAY_FORMAT, help="The day its mails are for: 2026-02-01.")]
CAMPAIGN = Annotated[str | None, typer.Argument(help="A campaign; none with --all.")]
ALL = Annotated[bool, typer.Option("--all", help="All delivery, whatever the campaign.")]


@campaigns_app.command("waiting")
def campaigns_waiting(context: typer.Context) -> None:
    """What waits for an approval: counts by reason against last time, and samples."""
    from perennial.flows.approval import waiting

    requests = waiting(context.obj)
    for request in requests:
        console.print(request.subject, style="bold", markup=False, soft_wrap=True)
        console.print(request.body, markup=False, soft_wrap=True)
    if not requests:
        console.print("Nothing waits for an approval.")


@campaigns_app.command("approve")
def campaigns_approve(context: typer.Context, campaign: str, send_day: SEND_DAY, by: BY, why: WHY) -> None:
    """Say yes to what a campaign would send: it is queued."""
    from perennial.flows.approval import decide

    show_facts(decide(campaign, send_day.date(), context.obj, approved=True, by=by, why=why))


@campaigns_app.command("reject")
def campaigns_reject(context: typer.Context, campaign: str, send_day: SEND_DAY, by: BY, why: WHY) -> None:
    """Say no to what a campaign would send: nothing of it is ever queued."""
    from perennial.flows.approval import decide

    show_facts(decide(campaign, send_day.date(), context.obj, approved=False, by=by, why=why))


@campaigns_app.command("pause")
def campaigns_pause(
    context: typer.Context, by: BY, why: WHY, campaign: CAMPAIGN = None, everything: ALL = False
) -> None:
    """Hand over nothing more, of one campaign or of all, until it is resumed. What a worker has in hand still goes."""
    from perennial.flows.approval import pause

    is_new = pause(_one_or_all(campaign, everything), context.obj, by=by, why=why)
    console.print("Paused." if is_new else "It was paused already.")


@campaigns_app.command("resume")
def campaigns_resume(
    context: typer.Context, by: BY, why: WHY, campaign: CAMPAIGN = None, everything: ALL = False
) -> None:
    """Go on with what was paused. What is more than three days late by then expires."""
    from perennial.flows.approval import resume

    was_paused = resume(_one_or_all(campaign, everything), context.obj, by=by, why=why)
    console.print("Resumed." if was_paused else "It was not paused.")


@campaigns_app.command("cancel")
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


@campaigns_app.command("plan")
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


@campaigns_app.command("preview")
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


@campaigns_app.command("calendar")
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


@coupons_app.command("load")
def coupons_load(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(help="As a campaign's `offer: {coupons: …}` names it.")],
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A code a line, or CSV with a column code.")
    ],
    by: Annotated[str, typer.Option(help="Who does this; kept in the audit log.")],
) -> None:
    """Add codes to a pool. Codes that are known already stay where they are."""
    from perennial.flows.coupons import load

    show_facts(load(pool, file, context.obj, by=by))


@coupons_app.command("list")
def coupons_list(context: typer.Context) -> None:
    """How many codes are left in each pool."""
    from perennial.ledger import open_ledger

    with open_ledger(context.obj) as ledger:
        show_facts(ledger.free_coupons() or {"pools": "none"})


@messages_app.command("unknown")
def messages_unknown(context: typer.Context) -> None:
    """Messages that may have gone out, or not: docs/delivery.md says how to find out."""
    from perennial.ledger import open_ledger

    with open_ledger(context.obj) as ledger:
        for row in ledger.unknown_messages():
            handed = (
                f"handed over {row['handed_at']:%Y-%m-%d %H:%M:%S} UTC" if row["handed_at"] else "not seen to leave"
            )
            why = row["reason"] or row["provider_reply"] or "no reason kept"
            typer.echo(
                f"{row['message_id']}  {row['campaign']}  {row['customer_id']}  {row['provider']}  {handed}: {why}"
            )


class Found(StrEnum):
    """What a person may have found out about an unknown message."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUEUED = "queued"


@messages_app.command("settle")
def messages_settle(
    context: typer.Context,
    message_ids: Annotated[list[str], typer.Argument(help="Unknown messages; - reads their ids from standard input.")],
    found: Annotated[Found, typer.Option("--as", help="queued sends it again: only with proof that it was not taken.")],
    by: Annotated[str, typer.Option(help="Who found out; kept in the audit log.")],
    why: Annotated[str, typer.Option(help="How; kept in the audit log.")],
) -> None:
    """Say what became of messages that nobody can tell of."""
    from perennial.flows.delivery import settle_by_hand

    ids = sys.stdin.read().split() if message_ids == ["-"] else message_ids
    typer.echo(f"{settle_by_hand(ids, found.value, context.obj, by=by, why=why)} messages settled as {found.value}.")


@ledger_app.command("reconcile")
def ledger_reconcile(
    context: typer.Context,
    by: Annotated[str, typer.Option(help="Who decides this; kept in the audit log.")],
    restored: Annotated[
        bool, typer.Option("--restored", help="It is old although nothing shows it: restored on a new host.")
    ] = False,
) -> None:
    """Go on with an old ledger that was put back: nothing it cannot vouch for is sent again."""
    from perennial.flows.delivery import reconcile

    show_facts(reconcile(context.obj, by=by, restored=restored))


@ledger_app.command("move")
def ledger_move(
    context: typer.Context,
    to: Annotated[str, typer.Option(help="URL of an empty database; its password may be PERENNIAL_LEDGER_PASSWORD.")],
    by: Annotated[str, typer.Option(help="Who does this; kept in the audit log.")],
) -> None:
    """Move the ledger to another database, such as from the file to a server. Then set PERENNIAL_LEDGER to it."""
    from perennial.ledger import open_ledger

    settings: Settings = context.obj
    with open_ledger(settings) as present, open_ledger(settings.model_copy(update={"ledger": to})) as other:
        show_facts(present.move_to(other, by=by))
    console.print("Set PERENNIAL_LEDGER to the new place; the old ledger queues and sends nothing any more.")


@contextmanager
def progress(title: str, steps: int) -> Iterator[Callable[[str, object], None]]:
    """A bar in a terminal, plain lines elsewhere. What is yielded is called after each step."""
    if not console.is_terminal:
        started = datetime.now().astimezone()

        def line(name: str, figures: object) -> None:
            seconds = (datetime.now().astimezone() - started).total_seconds()
            console.print(f"{title} {seconds:6.1f} s  {name}: {brief(figures)}", markup=False, soft_wrap=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=steps)

        def tick(name: str, figures: object) -> None:  # noqa: ARG001 - a bar has no room for figures
            bar.update(task, advance=1, description=f"{title}: {name}")

        yield tick


def brief(figures: object) -> str:
    """Figures on one line, zeros left out."""
    if not isinstance(figures, dict):
        return str(figures)
    if any(isinstance(value, dict) for value in figures.values()):
        return "; ".join(f"{name} ({brief(value)})" for name, value in figures.items() if value)
    shown = [
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in figures.items() if value
    ]
    return ", ".join(shown) or "nothing new"


def show_facts(facts: Any, indent: int = 0) -> None:
    """Nested figures as an indented list; lists of rows as tables."""
    for name, value in facts.items():
        label = " " * indent + str(name).replace("_", " ")
        if isinstance(value, dict) and value:
            console.print(f"[bold]{label}[/]")
            show_facts(value, indent + 2)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            console.print(f"[bold]{label}[/]")
            show_rows(value, list(value[0]))
        else:
            shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain(value)
            console.print(f"{label:<28} ", end="")
            console.print(shown, markup=False, soft_wrap=True)


def show_rows(rows: Iterable[dict[str, Any]], columns: list[str]) -> None:
    table = Table(header_style="bold")
    for column in columns:
        table.add_column(Text(column))  # as text, and below: what people write may look like markup
    for row in rows:
        table.add_row(*(Text(plain(row.get(column))) for column in columns))
    console.print(table)


def _no_formula(value: object) -> object:
    """A cell of a CSV file as no spreadsheet computes it: what people write about themselves ends up in exports."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def plain(value: object) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def entry_point() -> None:
    """Errors raised on purpose are told in plain words, without a traceback."""
    try:
        app()
    except PerennialError as error:
        Console(stderr=True, highlight=False).print(f"Error: {error}", markup=False, soft_wrap=True)
        sys.exit(1)
