"""The import rules hold, and each of them would notice a violation."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

# Where something is planted, and what the linter has to say about it.
VIOLATIONS = {
    "foundation": "import perennial.contracts",
    "contracts": "import perennial.segments",
    "loyalty": "import perennial.churn",
    "campaigns": "import perennial.templates",
    "metrics": "import perennial.ledger",
    "warehouse": "import perennial.ledger",
    "delivery": "import perennial.flows",
    "flows": "import airflow",
    "web": "import perennial.orchestration",
    "sources": "import great_expectations",
    "churn": "import duckdb",
    "ledger": "import sqlglot",
    "demo": "import sqlalchemy",
    "orchestration": "import fastapi",
    "segments": "import smtplib",
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder / "plugins"), "COLUMNS": "200"}
    command = [LINT, "--no-cache", "--config", folder / "pyproject.toml"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_a_planted_violation_of_each_rule_is_caught(copy):
    for room, statement in VIOLATIONS.items():
        (copy / "plugins" / "perennial" / room / "planted.py").write_text(f"{statement}\n")
    result = lint(copy)
    assert result.returncode == 1
    said = " ".join(result.stdout.split())
    missed = {
        room: statement
        for room, statement in VIOLATIONS.items()
        if f"perennial.{room}.planted -> {statement.removeprefix('import ')}" not in said
    }
    assert missed == {}


def test_a_room_nobody_placed_is_caught(copy):
    room = copy / "plugins" / "perennial" / "helpers"
    room.mkdir()
    (room / "__init__.py").write_text("")
    result = lint(copy)
    assert result.returncode == 1
    assert "helpers" in result.stdout


def test_the_rules_hold(copy):
    result = lint(copy)
    assert result.returncode == 0, result.stdout
