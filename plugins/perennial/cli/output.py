"""What commands print."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


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


def plain(value: object) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
