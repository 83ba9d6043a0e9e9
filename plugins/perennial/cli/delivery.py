"""Mail that leaves, and what is heard of it."""

import typer

from perennial.cli.output import show_facts

app = typer.Typer()


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
