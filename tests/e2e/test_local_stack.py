"""`make run` with the real processes: scheduler, DAG processor, API server, one process a task."""

import os
import re
import shutil
import sys
from datetime import date
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import psutil
import pytest

from perennial.flows.demo import build
from perennial.foundation.settings import REPOSITORY, load_settings
from perennial.orchestration.chain import DAY_CHAIN

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path):
    """A home with a small demo shop."""
    build(load_settings(home=tmp_path), 500, date(2025, 12, 1), date(2026, 1, 31))
    return tmp_path


def start(home, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PERENNIAL"))}
    return Popen(
        [sys.executable, "-m", "perennial.orchestration.local", "run"],
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

    code, output = finish(start(home))
    assert code == 0, output
    assert len(list((home / "mailbox").rglob("*.eml"))) == mails
    assert re.findall(r"'queued': (\d+)", output).count("0") == len(re.findall(r"'queued': ", output))


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
