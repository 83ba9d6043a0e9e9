"""The tables of docs/benchmarks.md: figures into Markdown, between the markers of the page."""

import os
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from perennial.foundation.settings import REPOSITORY

PAGE = REPOSITORY / "docs" / "benchmarks.md"
_PACKAGES = ("duckdb", "pyarrow", "apache-airflow", "great-expectations", "pandas")
_SLOWEST = 12  # tables shown of an increment

Results = dict[str, Any]


def machine() -> str:
    """What it was measured on, a sentence."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{os.cpu_count()} cores ({model}), {psutil.virtual_memory().total / 2**30:.0f} GB of memory, "
        f"{platform.system()}, Python {platform.python_version()}, {packages}; load when it began "
        f"{os.getloadavg()[0]:.1f}"
    )


def write(results: Results, machine: str, path: Path) -> None:
    """Put the tables of what was measured between their markers; the parts that were not measured stay."""
    text = path.read_text(encoding="utf-8")
    stamp = f"Measured {datetime.now(UTC):%Y-%m-%d}: {machine}."
    for customers, found in results.get("shops", {}).items():
        body = "\n".join([f"### {customers:,} customers", "", stamp, "", *_shop(found)])
        text = _between(_with_markers(text, "shops", f"shop-{customers}"), f"shop-{customers}", body)
    for customers, found in results.get("postgres", {}).items():
        body = "\n".join([f"### {customers:,} customers in PostgreSQL", "", stamp, "", *_against_postgres(found)])
        text = _between(_with_markers(text, "servers", f"server-{customers}"), f"server-{customers}", body)
    if "intake" in results:
        text = _between(text, "intake", "\n".join([stamp, "", *_intake(results["intake"])]))
    if "planning" in results:
        text = _between(text, "planning", "\n".join([stamp, "", *_planning(results["planning"])]))
    if "people" in results:
        text = _between(text, "people", "\n".join([stamp, "", *_people(results["people"])]))
    if "webhooks" in results:
        text = _between(text, "webhooks", "\n".join([stamp, "", *_webhooks(results["webhooks"])]))
    if "delivery" in results:
        text = _between(text, "delivery", "\n".join([stamp, "", *_delivery(results["delivery"])]))
    if "airflow" in results:
        text = _between(text, "airflow", "\n".join([stamp, "", *_airflow(results["airflow"])]))
    path.write_text(text, encoding="utf-8")


def _with_markers(text: str, inside: str, name: str) -> str:
    if f"<!-- {name} -->" in text:
        return text
    return text.replace(f"<!-- {inside} end -->", f"<!-- {name} -->\n<!-- {name} end -->\n\n<!-- {inside} end -->")


def _between(text: str, name: str, body: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- {name} end -->)", re.DOTALL)
    assert pattern.search(text), f"the page has no markers {name}"
    return pattern.sub(lambda found: f"{found[1]}\n{body}\n\n{found[2]}", text)


def _shop(found: Results) -> Iterator[str]:
    longest = max(found["histories"])
    last = found["histories"][longest]
    yield from _table("what", "seconds", "CPU seconds", "rows", "rows/s", "peak MB")
    if "generate" in found:
        yield _row("generator", found["generate"])
    yield _row("land and load, every row through the gate", last["load"])
    yield _row("the same files into text columns, unchecked (reference)", last["plain"])
    yield _row("first refresh, scores, plan, publication", last["first"])
    both = {name: last["load"][name] + last["first"][name] for name in ("seconds", "cpu_seconds")}
    yield _row("**first load in all**", both | {"peak_mb": max(last[part]["peak_mb"] for part in ("load", "first"))})
    if "pandas" in found:
        yield _row("pandas: RFM, points, daily figures of the newest day", found["pandas"])
    yield ""
    yield "The daily increment, by the history the warehouse holds (the median of the days; memory is the highest):"
    yield ""
    yield from _table(
        "history", "rows held", "seconds", "CPU seconds", "against the shortest", "peak MB", "warehouse MB"
    )
    shortest = found["histories"][min(found["histories"])]["seconds"]
    for months, history in sorted(found["histories"].items()):
        cpu = median(day["cpu_seconds"] for day in history["days"])
        yield (
            f"| {months} months | {history['load']['rows']:,} | {history['seconds']:.1f} | {cpu:.1f} | "
            f"{history['seconds'] / shortest:.2f} | {history['peak_mb']:,.0f} | {history['warehouse_mb']:,.0f} |"
        )
    if "pandas" in found:
        yield from _against_pandas(found["pandas"]["seconds"], last)
    yield ""
    yield f"Where the day goes, at {longest} months of history (the last day, seconds):"
    yield ""
    yield ", ".join(f"{part} {seconds:.1f}" for part, seconds in last["days"][-1]["parts"].items()) + "."
    yield ""
    yield from _table("slowest tables", "how", "rows written", "seconds", "seconds of the first build")
    first = {table["table_name"]: table["seconds"] for table in last["first_tables"]["tables"]}
    for table in last["tables"]["tables"][:_SLOWEST]:
        yield (
            f"| `{table['table_name']}` | {table['how']} | {table['row_count']:,} | {table['seconds']:.2f} | "
            f"{first.get(table['table_name'], 0):.2f} |"
        )


def _intake(results: Results) -> Iterator[str]:
    yield from _table(
        "order lines", "seconds", "lines/s", "peak MB", "the same files unchecked, lines/s", "a day more, seconds"
    )
    for found in results.values():
        plain = found["plain"]
        yield (
            f"| {found['rows']:,} | {found['seconds']:.1f} | {found['rows'] / found['seconds']:,.0f} | "
            f"{found['peak_mb']:,.0f} | {plain['rows'] / plain['seconds']:,.0f} | {found['day']['seconds']:.1f} |"
        )


def _people(results: Results) -> Iterator[str]:
    yield from _table(
        "engine", "links", "people", "all of it, seconds", "a day with 5,000 new links, seconds", "peak MB"
    )
    for engine, found in results.items():
        yield (
            f"| {engine} | {found['links']:,} | {found['people']:,} | {found['whole']:.1f} | {found['day']:.1f} | "
            f"{found['peak_mb']:,.0f} |"
        )


def _webhooks(results: list[Results]) -> Iterator[str]:
    yield from _table(
        "ledger", "events a request", "events", "events/s", "events per CPU second of the app", "copies, events/s"
    )
    for found in results:
        new, copies, events = found["new"], found["copies"], found["events"]
        yield (
            f"| {found['engine']} | {found['a_request']} | {events:,} | {events / new['seconds']:,.0f} | "
            f"{events / new['cpu_seconds']:,.0f} | {events / copies['seconds']:,.0f} |"
        )


def _delivery(results: Results) -> Iterator[str]:
    plain = results["plain"]
    yield f"A mail has {results['bytes']:,} bytes; `smtp-source` sent it in the same minutes, over one connection, too:"
    yield ""
    yield from _table("what", "mails", "mails/s", "of smtp-source", "times the plain loop", "CPU µs a mail", "peak MB")
    for name, found in [
        ("Jinja2, EmailMessage, smtplib in a loop", plain),
        *((f"claim, render, MIME, SMTP, record; ledger in {found['engine']}", found) for found in results["ours"]),
    ]:
        times = found["against_source"] / plain["against_source"]
        cpu = found["cpu_seconds"] / found["rows"] * 1e6
        yield (
            f"| {name} | {found['rows']:,} | {found['rows'] / found['seconds']:,.0f} | {found['against_source']:.2f} | "
            f"{times:.1f} | {cpu:,.0f} | {found['peak_mb']:,.0f} |"
        )


def _planning(results: Results) -> Iterator[str]:
    yield from _table("people", "candidates", "mails", "seconds", "CPU seconds", "candidates/s", "peak MB")
    for people, found in results.items():
        yield (
            f"| {people:,} | {found['candidates']:,} | {found['sends']:,} | {found['seconds']:.1f} | "
            f"{found['cpu_seconds']:.1f} | {found['candidates'] / found['seconds']:,.0f} | {found['peak_mb']:,.0f} |"
        )


def _against_postgres(results: Results) -> Iterator[str]:
    months = max(results["histories"])
    found, last = results["postgres"], results["histories"][months]
    yield f"At {months} months of history, beside DuckDB; memory of ours and of the server (shared pages once):"
    yield ""
    yield from _table("what", "seconds", "DuckDB", "times as long", "peak MB", "server MB")
    for what, theirs, ours in (
        ("land and load, every row through the gate", found["load"], last["load"]),
        ("first refresh, scores, plan, publication", found["first"], last["first"]),
        ("daily increment", found, last),
    ):
        yield (
            f"| {what} | {theirs['seconds']:.1f} | {ours['seconds']:.1f} | {theirs['seconds'] / ours['seconds']:.1f} | "
            f"{theirs['peak_mb']:,.0f} | {theirs['server_mb']:,.0f} |"
        )


def _against_pandas(theirs: float, last: Results) -> Iterator[str]:
    daily, whole = last["tables"]["same_work_seconds"], last["first_tables"]["same_work_seconds"]
    yield ""
    yield "Against pandas, which makes RFM, points and daily figures anew every day; the results are equal to the cent:"
    yield ""
    yield from _table("the tables that these need", "seconds", "pandas takes")
    yield f"| the day, as it is run | {daily:.1f} | {theirs / daily:.1f} times as long |"
    yield f"| all of them made anew | {whole:.1f} | {theirs / whole:.1f} times as long |"


def _airflow(found: Results) -> Iterator[str]:
    run, empty, plain, parse = (found[name] for name in ("run", "empty", "plain", "parse"))
    overhead = (empty["chain_seconds"] - plain["seconds"]) / empty["tasks"]
    yield from _table("what", "seconds", "peak MB")
    for what, seconds, memory in (
        ("`make run`: demo shop of 2,000 customers, Airflow, the chain, the mails", run["seconds"], run["peak_mb"]),
        (f"its day chain alone, {run['tasks']} tasks", run["chain_seconds"], None),
        (f"**an empty day through the chain**, {empty['tasks']} tasks", empty["chain_seconds"], empty["peak_mb"]),
        ("an empty day by `perennial run`", plain["seconds"], plain["peak_mb"]),
        ("so Airflow adds to each task", overhead, None),
        (f"reading the {parse['files']} DAG files, Airflow imported", parse["seconds"], parse["peak_mb"]),
    ):
        yield f"| {what} | {seconds:.2f} | {f'{memory:,.0f}' if memory else ''} |"


def _table(*heads: str) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"


def _row(what: str, found: Results) -> str:
    rows = found.get("rows")
    speed = f"{rows / found['seconds']:,.0f}" if rows else ""
    return (
        f"| {what} | {found['seconds']:.1f} | {found['cpu_seconds']:.1f} | {f'{rows:,}' if rows else ''} | {speed} | "
        f"{found['peak_mb']:,.0f} |"
    )


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
