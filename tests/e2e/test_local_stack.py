"""`make run` and `make up` with the real processes: scheduler, DAG processor, API server, one process a task."""

import json
import os
import re
import shutil
import signal
import sys
import urllib.error
import urllib.request
from datetime import date
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from urllib.parse import quote

import psutil
import pytest

from perennial.flows.demo import build
from perennial.foundation.settings import REPOSITORY, load_settings
from perennial.orchestration.chain import DAY_CHAIN
from perennial.orchestration.environment import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path):
    """A home with a small demo shop."""
    build(load_settings(home=tmp_path), 500, date(2025, 12, 1), date(2026, 1, 31))
    return tmp_path


def start(home, command="run", **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PERENNIAL"))}
    return Popen(
        [sys.executable, "-m", "perennial.orchestration.local", command],
        env=clean | {"PERENNIAL_HOME": str(home)} | environment,
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )


def finish(process):
    """Its exit code and everything it printed. Nothing it started may live on."""
    output, _ = process.communicate(timeout=400)
    orphans = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    assert orphans == [], output
    return process.returncode, output


def test_a_run_ends_well_and_a_killed_one_is_made_good_by_the_next(home):
    killed = start(home)
    for line in killed.stdout:
        if "refresh_customers.core ..." in line:
            break
    killed.kill()
    killed.communicate()

    code, output = finish(start(home))
    assert code == 0, output
    positions = [output.index(f"{dag}.") for dag in DAY_CHAIN]
    assert positions == sorted(positions)
    assert "deliver_messages.deliver done" in output
    mails = len(list((home / "mailbox").rglob("*.eml")))

    left_open = start(home, "up", PERENNIAL_PUBLIC_URL=f"http://127.0.0.1:{free_port()}")
    printed = read_until(left_open, "  Published ")
    try:
        assert_the_pages_are_there_for_who_is_logged_in(
            *re.search(r"Airflow +(\S+) +login (\S+) / (\S+)", printed).groups()
        )
    finally:
        left_open.send_signal(signal.SIGTERM)
        code, output = finish(left_open)
    assert code == 130, output
    output = printed + output
    assert len(list((home / "mailbox").rglob("*.eml"))) == mails
    assert re.findall(r"'queued': (\d+)", output).count("0") == len(re.findall(r"'queued': ", output))


def read_until(process, mark):
    """What it prints up to and with the line that has the mark, or to its end."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if mark in line:
            break
    return "".join(lines)


def assert_the_pages_are_there_for_who_is_logged_in(url, user, password):
    """Of each run the quality page of its day, as Airflow's UI shows it in a tab; and nothing without a login."""
    login = json.dumps({"username": user, "password": password}).encode()
    token = json.loads(fetch(f"{url}/auth/token", {"Content-Type": "application/json"}, login)[2])["access_token"]
    logged_in = {"Authorization": f"Bearer {token}"}

    (plugin,) = json.loads(fetch(f"{url}/api/v2/plugins", logged_in)[2])["plugins"]
    tab = next(view for view in plugin["external_views"] if view["destination"] == "dag_run")
    runs = json.loads(fetch(f"{url}/api/v2/dags/~/dagRuns?limit=100&order_by=-id", logged_in)[2])["dag_runs"]
    newest = {run["dag_id"]: run for run in reversed(runs)}
    for dag, run in newest.items():
        of_run = tab["href"].replace("{DAG_ID}", dag).replace("{RUN_ID}", quote(run["dag_run_id"], safe=""))
        status, address, page = fetch(url + of_run, logged_in)
        if run["partition_key"]:
            assert (status, address) == (200, f"{url}/perennial/2026-01-31/quality.html")
            assert "Data quality, Saturday, 31 January 2026" in page
        else:
            assert status == 404
            assert "This run is about no day" in page
        assert fetch(url + of_run)[0] == 401
    assert {*DAY_CHAIN, "deliver_messages"} == newest.keys()

    for page in ("report", "quality", "dictionary"):
        assert fetch(f"{url}/perennial/latest/{page}.html", logged_in)[0] == 200
        assert fetch(f"{url}/perennial/latest/{page}.html")[0] == 401
    assert fetch(f"{url}/perennial/latest/manifest.json", logged_in)[0] == 404


def fetch(address, headers=(), data=None):
    """Status, where it was in the end, and what it said."""
    request = urllib.request.Request(address, data, dict(headers))  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.url, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.url, error.read().decode()


def test_a_failed_task_is_named_with_its_error_and_its_log(home, tmp_path_factory):
    include = tmp_path_factory.mktemp("include") / "include"
    shutil.copytree(REPOSITORY / "include", include)
    with (include / "templates" / "win_back" / "campaign.yaml").open("a") as file:
        file.write("\nprioirty: 3\n")

    code, output = finish(start(home, PERENNIAL_INCLUDE=str(include)))
    assert code == 1, output
    assert re.search(r"\w+\.\w+ failed: BadConfig: .*win_back/campaign\.yaml: unknown field prioirty", output), output
    (log,) = re.findall(r"^Log: (.*)$", output, re.MULTILINE)
    assert "prioirty" in Path(log).read_text(encoding="utf-8")
