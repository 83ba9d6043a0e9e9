"""`make run` and `make up` with the real processes: scheduler, DAG processor, API server, one process a task."""

import json
import os
import re
import shutil
import signal
import sys
import time
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
from perennial.ledger import open_ledger
from perennial.orchestration.chain import APPROVAL, DAY_CHAIN
from perennial.orchestration.environment import free_port

pytestmark = pytest.mark.slow
AS_JSON = {"Content-Type": "application/json"}


@pytest.fixture
def home(tmp_path):
    """A home with a small demo shop."""
    build(load_settings(home=tmp_path / "home"), 500, date(2025, 12, 1), date(2026, 1, 31))
    return tmp_path / "home"


@pytest.fixture
def win_back(home):
    """A campaign of that shop, to be edited."""
    include = home.parent / "include"
    shutil.copytree(REPOSITORY / "include", include)
    return include / "templates" / "win_back" / "campaign.yaml"


def start(home, command="run", **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PERENNIAL"))}
    places = {"PERENNIAL_HOME": str(home), "PERENNIAL_INCLUDE": str(home.parent / "include")}
    return Popen(
        [sys.executable, "-m", "perennial.orchestration.local", command],
        env=clean | places | environment,
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


def test_a_killed_run_is_made_good_by_the_next_which_stays_open_for_an_approval(home, win_back):
    with win_back.open("a") as file:
        file.write("\napproval: always\n")
    killed = start(home)
    for line in killed.stdout:
        if "refresh_customers.core ..." in line:
            break
    killed.kill()
    killed.communicate()

    left_open = start(home, "up", PERENNIAL_PUBLIC_URL=f"http://127.0.0.1:{free_port()}")
    printed = read_until(left_open, "  Published ")
    try:
        url, user, password = re.search(r"Airflow +(\S+) +login (\S+) / (\S+)", printed).groups()
        login = json.dumps({"username": user, "password": password}).encode()
        token = json.loads(fetch(f"{url}/auth/token", AS_JSON, login)[2])["access_token"]
        logged_in = {"Authorization": f"Bearer {token}"}
        assert_the_pages_are_there_for_who_is_logged_in(url, logged_in)
        assert_a_yes_queues_what_waits(url, logged_in, load_settings(home=home))
    finally:
        left_open.send_signal(signal.SIGTERM)
        code, output = finish(left_open)
    output = printed + output
    assert code == 130, output
    positions = [output.index(f"{dag}.") for dag in DAY_CHAIN]
    assert positions == sorted(positions)
    assert "deliver_messages.deliver[1] done" in output
    assert list((home / "mailbox").rglob("*.eml"))


def read_until(process, mark):
    """What it prints up to and with the line that has the mark, or to its end."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if mark in line:
            break
    return "".join(lines)


def assert_a_yes_queues_what_waits(url, logged_in, settings):
    """The question that Airflow shows is answered there; the answer, and who gave it, is in the ledger."""
    runs = f"{url}/api/v2/dags/{APPROVAL}/dagRuns"
    (asked,) = json.loads(fetch(f"{runs}/~/hitlDetails", logged_in)[2])["hitl_details"]
    with open_ledger(settings) as ledger:
        (run,) = ledger.campaign_runs(campaign="win_back")
        assert ledger.counts_by_state(campaign="win_back") == {}
    assert asked["subject"] == f"Send win_back to {run.counts['send']} people on 2026-02-01?"
    assert "| send |" in asked["body"]
    task = asked["task_instance"]
    answer = json.dumps({"chosen_options": ["Approve"], "params_input": {}}).encode()
    run_id = quote(task["dag_run_id"], safe="")
    address = f"{runs}/{run_id}/taskInstances/ask/{task['map_index']}/hitlDetails"
    assert fetch(address, AS_JSON, answer, "PATCH")[0] == 401
    assert fetch(address, AS_JSON | logged_in, answer, "PATCH")[0] == 200
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with open_ledger(settings) as ledger:
            if ledger.counts_by_state(campaign="win_back") == {"queued": run.counts["send"]}:
                (told,) = [row for rows in ledger.changes("audit_log", None) for row in rows]
                assert (told["action"], told["subject"]) == ("approved", "win_back 2026-02-01")
                return
        time.sleep(0.5)
    raise AssertionError("the approved mails were not queued in time")


def assert_the_pages_are_there_for_who_is_logged_in(url, logged_in):
    """Of each run the quality page of its day, as Airflow's UI shows it in a tab; and nothing without a login."""
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
    assert {*DAY_CHAIN, APPROVAL, "deliver_messages"} == newest.keys()

    for page in ("report", "quality", "dictionary"):
        assert fetch(f"{url}/perennial/latest/{page}.html", logged_in)[0] == 200
        assert fetch(f"{url}/perennial/latest/{page}.html")[0] == 401
    assert fetch(f"{url}/perennial/latest/manifest.json", logged_in)[0] == 404


def fetch(address, headers=(), data=None, method=None):
    """Status, where it was in the end, and what it said."""
    request = urllib.request.Request(address, data, dict(headers), method=method)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.url, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.url, error.read().decode()


def test_a_failed_task_is_named_with_its_error_and_its_log(home, win_back):
    with win_back.open("a") as file:
        file.write("\nprioirty: 3\n")

    code, output = finish(start(home))
    assert code == 1, output
    assert re.search(r"\w+\.\w+ failed: BadConfig: .*win_back/campaign\.yaml: unknown field prioirty", output), output
    (log,) = re.findall(r"^Log: (.*)$", output, re.MULTILINE)
    assert "prioirty" in Path(log).read_text(encoding="utf-8")
