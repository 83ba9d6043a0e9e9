"""
The local stack: `python -m perennial.orchestration.local run` (or `up`), what `make run` and `make up` call.

It starts the real Airflow (scheduler with LocalExecutor, DAG processor, API server) on loopback and SQLite below
`<home>/airflow`, makes a demo shop if the inbox is empty, lets the scheduler run the day chain for the clock's
yesterday, and delivers. `run` then stops everything; `up` leaves the Airflow UI and the web app open until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from datetime import UTC, date, datetime
from types import FrameType
from typing import NoReturn
from urllib.parse import urlsplit

from perennial.flows.demo import is_wanted
from perennial.flows.summary import summary
from perennial.foundation.days import run_of, yesterday
from perennial.foundation.errors import PerennialError
from perennial.foundation.settings import Settings, load_settings
from perennial.orchestration import components
from perennial.orchestration.chain import Chain
from perennial.orchestration.environment import LOGIN, airflow_environment, airflow_home, free_port, password
from perennial.orchestration.processes import Processes, StackError

DEMO_CUSTOMERS = 2000
DEMO_DAYS = date(2024, 8, 1), date(2026, 1, 31)
_STARTED = time.monotonic()


def main(arguments: list[str] | None = None) -> int:
    """Run the local stack. Return 0 if the chain and the delivery succeeded."""
    parser = argparse.ArgumentParser(prog="python -m perennial.orchestration.local", description=__doc__)
    parser.add_argument("command", choices=["run", "up"])
    command = parser.parse_args(arguments).command
    _with_airflow_environment(command)
    settings = load_settings()
    say(f"Starting a local Airflow in {airflow_home(settings)}")
    for asked_to_stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked_to_stop, _interrupted)
    try:
        with Processes(airflow_home(settings)) as processes:
            chain = start(settings, processes, with_ui=command == "up")
            run_newest_day(chain)
            if command == "up":
                stay_open(settings, processes)
    except KeyboardInterrupt:
        say("Interrupted; everything this command started is stopped.")
        return 130
    except PerennialError as error:
        say(f"FAILED\n{error}")
        return 1
    return 0


def start(settings: Settings, processes: Processes, *, with_ui: bool) -> Chain:
    """Start Airflow, and return the chain when every DAG is known. What is slow runs side by side."""
    if needs_demo := is_wanted(settings):
        say(f"Making a demo shop: {DEMO_CUSTOMERS} customers, {DEMO_DAYS[0]} to {DEMO_DAYS[1]}")
        processes.start("demo", lambda: _build_demo(settings))
    say("Preparing Airflow: metadata database, pools, keys")
    components.prepare(settings)
    say("Starting the scheduler, the API server and the DAG processor")
    processes.start("scheduler", components.scheduler)
    processes.start("api-server", lambda: components.api_server(with_ui=with_ui))
    while needs_demo and (code := processes.ended("demo")) != 0:
        if code is not None:
            raise StackError(f"The demo shop could not be made:\n{processes.tail('demo')}")
        time.sleep(0.1)
    started = datetime.now(UTC)
    processes.start("dag-processor", components.dag_processor)  # after the demo: its clock ends the schedules
    while not components.api_answers(os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]):
        processes.check()
        time.sleep(0.1)
    chain = Chain(load_settings(), say, processes.check)
    chain.wait_for_dags(started)
    return chain


def run_newest_day(chain: Chain) -> None:
    """Run the chain for the clock's yesterday and deliver what it queued."""
    run = run_of(yesterday(chain.settings), chain.settings)
    say(f"Running the day chain for {run.day} ({run.origin})")
    chain.run_day(run.day, run.origin)
    say("Delivering")
    chain.deliver()
    say(f"Done\n\n{summary(load_settings())}")


def stay_open(settings: Settings, processes: Processes) -> NoReturn:
    """Serve the web app, say where everything is, and wait for Ctrl-C."""
    processes.start("web", lambda: _serve_web_app(settings))
    say("Open until Ctrl-C:")
    say(f"  Airflow      {os.environ['AIRFLOW__API__BASE_URL']}   login {LOGIN} / {password(settings)}")
    say(f"  Web app      {settings.public_url}")
    say(f"  Mailbox      {settings.mailbox_dir}")
    say(f"  Published    {settings.published_dir}")
    while True:
        processes.check()
        time.sleep(0.5)


def say(line: str) -> None:
    sys.stdout.write(f"{time.monotonic() - _STARTED:6.1f} s  {line}\n")
    sys.stdout.flush()


def _with_airflow_environment(command: str) -> None:
    """
    Start this program again with Airflow's variables set.

    Airflow reads its configuration when it is first imported, and every process of the stack must see the same.
    """
    if "AIRFLOW__API__PORT" in os.environ and os.environ.get("AIRFLOW_HOME") == str(airflow_home(load_settings())):
        return
    environment = airflow_environment(load_settings(), free_port(8080 if command == "up" else 0))
    arguments = [sys.executable, "-m", "perennial.orchestration.local", command]
    os.execve(sys.executable, arguments, os.environ | environment)  # noqa: S606 - no shell is wanted


def _build_demo(settings: Settings) -> None:
    from perennial.flows.demo import build

    build(settings, DEMO_CUSTOMERS, *DEMO_DAYS)


def _serve_web_app(settings: Settings) -> None:
    import uvicorn

    from perennial.web.app import create_app

    address = urlsplit(settings.public_url)
    host, port = address.hostname or "127.0.0.1", address.port or 8025
    uvicorn.run(create_app(settings), host=host, port=port, access_log=False)  # addresses hold people's tokens


def _interrupted(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
