"""Messages of which nobody can tell whether they went out."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from perennial.cli.options import BY, WHY

app = typer.Typer(no_args_is_help=True, help="E-mails of which nobody can tell whether they went out.")


@app.command("unknown")
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


@app.command("settle")
def messages_settle(
    context: typer.Context,
    message_ids: Annotated[list[str], typer.Argument(help="Unknown messages; - reads their ids from standard input.")],
    found: Annotated[Found, typer.Option("--as", help="queued sends it again: only with proof that it was not taken.")],
    by: BY,
    why: WHY,
) -> None:
    """Say what became of messages that nobody can tell of."""
    from perennial.flows.delivery import settle_by_hand

    ids = sys.stdin.read().split() if message_ids == ["-"] else message_ids
    typer.echo(f"{settle_by_hand(ids, found.value, context.obj, by=by, why=why)} messages settled as {found.value}.")
