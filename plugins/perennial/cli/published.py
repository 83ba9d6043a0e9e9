"""What the tables say."""

import csv
import sys
from typing import Annotated

import typer

from perennial.cli.output import console, show_facts, show_rows

app = typer.Typer()
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet knows one (OWASP: CSV injection)


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="One SELECT over the published tables.")],
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Comma-separated. Text that a spreadsheet takes for a formula begins with '.")
    ] = False,
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


def _no_formula(value: object) -> object:
    """A cell of a CSV file as no spreadsheet computes it: what people write about themselves ends up in exports."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
