"""
How long a day takes: `make bench`, or `python benchmarks/day.py --customers 100000`.

Each step runs in a process of its own, so that its peak memory is its own. Measure on a quiet machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from perennial.foundation.settings import load_settings

FIRST, LAST = date(2025, 8, 1), date(2026, 1, 30)
STEPS = ("generate the shop", "land", "load", "refresh, first", "score, plan, publish", "next day, whole")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--home", type=Path, help="keep the files here; default: a temporary folder")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        sys.stdout.write(json.dumps(measure(arguments.step, arguments.customers, arguments.home)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        home = arguments.home or Path(scratch)
        sys.stdout.write(f"{arguments.customers:,} customers, {FIRST} to {LAST}, {os.cpu_count()} cores\n")
        sys.stdout.write(f"{'step':24}{'seconds':>9}{'rows':>13}{'rows/s':>11}{'peak MB':>9}\n")
        for step in STEPS:
            command = [sys.executable, __file__, "--customers", str(arguments.customers), "--home", str(home)]
            done = subprocess.run([*command, "--step", step], capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            rows = f"{found['rows']:,}" if found["rows"] else ""
            speed = f"{found['rows'] / found['seconds']:,.0f}" if found["rows"] else ""
            sys.stdout.write(f"{step:24}{found['seconds']:9.1f}{rows:>13}{speed:>11}{found['peak_mb']:9,.0f}\n")


def measure(step: str, customers: int, home: Path) -> dict[str, float]:
    """Run one step in this process: seconds, rows where they mean something, peak memory in MB."""
    settings = load_settings(home=home)
    started = time.monotonic()
    rows = CALLS[step](settings, customers)
    seconds = time.monotonic() - started
    return {"seconds": seconds, "rows": rows, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def generate(settings, customers):
    from perennial.flows import demo

    return sum(demo.build(settings, customers, FIRST, LAST)["rows"].values())


def land(settings, _):
    for name, call in _newest_day(settings):
        if name.startswith("land "):
            call()
    return 0


def load(settings, _):
    import great_expectations  # noqa: F401 - its import is the same ten seconds for any number of rows

    figures = dict(_newest_day(settings))["load"]()
    return sum(source["landed"] for source in figures.values())


def refresh(settings, _):
    return sum(sum(call().values()) for name, call in _newest_day(settings) if name.startswith("refresh "))


def rest(settings, _):
    for name, call in _newest_day(settings):
        if name.startswith(("score", "plan", "publish")):
            call()
    return 0


def next_day(settings, _):
    from perennial.flows import demo

    moved = demo.advance(settings)
    for _, call in _newest_day(moved):
        call()
    return 0


def _newest_day(settings):
    from perennial.flows.day import steps
    from perennial.foundation.days import run_of, yesterday

    return steps(run_of(yesterday(settings), settings), settings)


CALLS = dict(zip(STEPS, (generate, land, load, refresh, rest, next_day), strict=True))

if __name__ == "__main__":
    main()
