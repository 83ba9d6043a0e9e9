"""
How fast Perennial is: `make bench`, or `python benchmarks/bench.py --help`.

Everything is measured in processes of their own, on one simulated shop a size, and written into docs/benchmarks.md.
Measure on a quiet machine.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import page
import shop
from processes import Server, local_stack, mail_sink, postgres, step

from perennial.foundation.settings import load_settings

SCALES = {"small": (20_000,), "full": (100_000, 1_000_000)}
HISTORIES = (6, 12, 24)  # months
PARTS = ("airflow", "intake", "people", "planning", "webhooks", "delivery", "shop", "pandas", "postgres")
LINES = (1_000_000, 5_000_000, 20_000_000)  # of orders, taken in
LINES_A_DAY = 30_000
MESSAGES, EVENTS_A_REQUEST = 10_000, (1, 50, 500)  # of which webhooks tell, five events each
LINKS = 5_000_000  # of which people are made
MAILS = (10_000, 100_000)
PLAIN_MAILS = 3_000  # by the loop that one would write first
PLANNED = (200_000, 1_000_000)  # people whom each of 20 campaigns considers
CAMPAIGNS = 20
PANDAS_UP_TO = 200_000  # customers; pandas needs about 15 GB for a million


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="small", help="20 000 customers, or 100 000 and a million")
    parser.add_argument("--customers", type=int, nargs="+", help="sizes of the shop, instead of a scale")
    parser.add_argument("--months", type=int, nargs="+", default=HISTORIES, help="histories; the longest is the shop's")
    parser.add_argument("--days", type=int, default=3, help="increments of each history; the median counts")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="default: all of it; a shop is always")
    parser.add_argument("--work", type=Path, help="keep shops and homes here, and take shops that are there already")
    parser.add_argument("--page", type=Path, default=page.PAGE, help="the page whose tables are written")
    arguments = parser.parse_args()
    machine = page.machine()
    with _folder(arguments.work) as work:  # what is measured is written at once: the whole takes an hour
        for part, measure in _without_shop().items():
            if part in arguments.only and (found := measure(work)):
                page.write({part: found}, machine, arguments.page)
        if set(arguments.only) - {*_without_shop()}:
            for customers in arguments.customers or SCALES[arguments.scale]:
                found = measure_shop(work, customers, arguments)
                if set(arguments.only) - {*_without_shop(), "postgres"}:
                    page.write({"shops": {customers: found}}, machine, arguments.page)
                if "postgres" in arguments.only:
                    found["postgres"] = measure_postgres(work, customers, arguments)
                    page.write({"postgres": {customers: found}}, machine, arguments.page)
    say(f"Written: {arguments.page}")


def _without_shop() -> dict[str, Callable[[Path], Any]]:
    """The parts that need no shop, in the order in which they are measured."""
    return {
        "airflow": measure_airflow,
        "intake": measure_intake,
        "people": measure_people,
        "planning": measure_planning,
        "webhooks": measure_webhooks,
        "delivery": measure_delivery,
    }


def measure_shop(work: Path, customers: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One shop: generator, ingest, first load, and the increments of each history."""
    folder, longest = work / f"shop-{customers}", max(arguments.months)
    found: dict[str, Any] = {"histories": {}}
    if (folder / "demo_truth" / "shop.json").exists():
        say(f"{customers:,} customers: the shop is there already")
    else:
        say(f"{customers:,} customers: generating {longest} months")
        found["generate"] = step("generate", folder=folder, customers=customers, months=longest, days=arguments.days)
    for months in sorted(arguments.months):
        home = work / f"home-{customers}-{months}"
        shutil.rmtree(home, ignore_errors=True)
        found["histories"][months] = history = measure_history(folder, home, months, arguments)
        if months == longest:
            say("  reading the same files plainly")
            history["plain"] = step("read_plainly", home=home)
            if "pandas" in arguments.only and customers <= PANDAS_UP_TO:
                found["pandas"] = measure_pandas(home, arguments)
        shutil.rmtree(home)
    return found


def measure_postgres(work: Path, customers: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The longest history again, in PostgreSQL."""
    longest = max(arguments.months)
    home = work / f"home-{customers}-postgres"
    shutil.rmtree(home, ignore_errors=True)
    with postgres() as server:
        found = measure_history(work / f"shop-{customers}", home, longest, arguments, server)
    shutil.rmtree(home)
    return found


def measure_history(
    folder: Path, home: Path, months: int, arguments: argparse.Namespace, server: Server | None = None
) -> dict[str, Any]:
    """The first load of a home that knows the last `months` months, and the days after it."""
    say(f"  {months} months{' in PostgreSQL' if server else ''}: first load")
    shop.bring(folder, home, shop.start_of(months), shop.END)
    found: dict[str, Any] = {
        "load": step("load", server, home=home, day=shop.END),
        "first": step("first_refresh", server, home=home, day=shop.END),
        "first_tables": step("tables", server, home=home, day=shop.END),
        "days": [],
    }
    for number in range(1, arguments.days + 1):
        day = shop.END + timedelta(days=number)
        shop.bring(folder, home, day, day)
        figures = step("increment", server, home=home, day=day)
        found["days"].append(figures)
        say(f"  {months} months: {day} in {figures['seconds']:.1f} s, {figures['peak_mb']:,.0f} MB")
    found["tables"] = step("tables", server, home=home, day=day)
    found["warehouse_mb"] = sum(file.stat().st_size for file in home.glob("warehouse.duckdb*")) / 2**20
    found["seconds"] = median(of["seconds"] for of in found["days"])
    for memory in ("peak_mb", "server_mb") if server else ("peak_mb",):
        found[memory] = max(of[memory] for of in found["days"])
    return found


def measure_pandas(home: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The newest day by the pandas program, which must come to our results."""
    say("  the same in pandas")
    day = shop.END + timedelta(days=arguments.days)
    folder = home / "parquet"
    step("export", home=home, day=day, folder=folder)
    return step("pandas", folder=folder, day=day)


def measure_intake(work: Path) -> dict[int, dict[str, Any]]:
    """Order lines as CSV, a year of them, until they are staged; the same files unchecked; one more day."""
    home = work / "home-intake"
    found = {}
    for lines in LINES:
        say(f"intake of {lines:,} order lines")
        shutil.rmtree(home, ignore_errors=True)
        step("order_lines", home=home, first=shop.END - timedelta(days=364), last=shop.END, lines=lines)
        figures = step("intake", home=home, day=shop.END) | {"plain": step("read_plainly", home=home)}
        day = shop.END + timedelta(days=1)
        step("order_lines", home=home, first=day, last=day, lines=LINES_A_DAY)
        found[lines] = figures | {"day": step("intake", home=home, day=day)}
    shutil.rmtree(home)
    return found


def measure_people(work: Path) -> dict[str, Any]:
    """Who is one person, of five million links, on both engines."""
    home = work / "home-people"
    found = {}
    for engine, started in {"DuckDB": nullcontext(), "PostgreSQL": postgres()}.items():
        say(f"who is one person, in {engine}")
        with started as server:
            found[engine] = step("people", server, home=home, day=shop.END, links=LINKS)
        shutil.rmtree(home, ignore_errors=True)  # in PostgreSQL there is none
    return found


def measure_webhooks(work: Path) -> list[dict[str, Any]]:
    """What a provider tells, few and many events at once, until it is durable; on both ledgers."""
    home = work / "home-webhooks"
    found = []
    for engine, started in {"SQLite": nullcontext(), "PostgreSQL": postgres()}.items():
        with started as server:
            for a_request in EVENTS_A_REQUEST:
                say(f"webhooks of {a_request} events, ledger in {engine}")
                shutil.rmtree(home, ignore_errors=True)
                messages = MESSAGES if a_request > 1 else MESSAGES // 20
                ledger = server.database() if server else None
                figures = step("webhooks", home=home, ledger=ledger, messages=messages, a_request=a_request)
                found.append({"engine": engine} | figures)
    shutil.rmtree(home)
    return found


def measure_delivery(work: Path) -> dict[str, Any]:
    """E-mails of win_back into Postfix's smtp-sink, on both ledgers, beside smtp-source and a plain loop."""
    tools = [shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("smtp-sink", "smtp-source")]
    if not all(tools):
        say("delivery is skipped: smtp-sink and smtp-source come with Postfix (apt-get install postfix)")
        return {}
    sample, home = work / "mail.eml", work / "home-delivery"
    step("sample_mail", path=sample)
    found: dict[str, Any] = {"bytes": sample.stat().st_size, "ours": []}
    with mail_sink(*tools) as sink:
        say("mail by a plain loop")
        found["plain"] = sink.beside_source(sample, "send_plainly", messages=PLAIN_MAILS, port=sink.port)
        for engine, started in {"SQLite": nullcontext(), "PostgreSQL": postgres()}.items():
            with started as server:
                for mails in MAILS:
                    say(f"{mails:,} mails, ledger in {engine}")
                    shutil.rmtree(home, ignore_errors=True)
                    ledger = server.database() if server else None
                    arguments = {"home": home, "messages": mails, "ledger": ledger, "port": sink.port}
                    step("fill_outbox", **arguments)
                    figures = sink.beside_source(sample, "deliver_mail", **arguments)
                    found["ours"].append(figures | {"engine": engine})
    shutil.rmtree(home)
    return found


def measure_planning(work: Path) -> dict[int, Any]:
    """One day's plan of 20 campaigns that each consider everybody."""
    found = {}
    for people in PLANNED:
        home = work / "home-planning"
        shutil.rmtree(home, ignore_errors=True)
        say(f"{CAMPAIGNS} campaigns, {people:,} people")
        found[people] = step("plan", home=home, day=shop.END, customers=people, campaigns=CAMPAIGNS)
        shutil.rmtree(home)
    return found


def measure_airflow(work: Path) -> dict[str, Any]:
    """`make run` from nothing, then a day without files under the real scheduler, and the same day without it."""
    home = work / "home-airflow"
    shutil.rmtree(home, ignore_errors=True)
    say("make run, with a new demo shop")
    found = {"run": local_stack(home)}
    say("an empty day under Airflow")
    _let_a_day_go_by(home)
    found["empty"] = local_stack(home)
    say("an empty day without Airflow")
    _let_a_day_go_by(home)
    found["plain"] = step("plain_day", home=home)
    found["parse"] = step("parse_dags")
    shutil.rmtree(home)
    return found


def _let_a_day_go_by(home: Path) -> None:
    """Move the demo clock on by a day on which no file comes."""
    settings = load_settings(home=home)
    assert settings.now
    settings.demo_clock.write_text((settings.now + timedelta(days=1)).isoformat())


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="perennial-bench-") as scratch:
            yield Path(scratch)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
