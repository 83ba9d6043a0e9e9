"""docker-compose.yaml works: every service's own command, with real PostgreSQL, Redis, Celery and logins."""

import json
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from datetime import date

import psycopg
import pytest
from containers import Containers

from perennial.flows.demo import build
from perennial.foundation.settings import REPOSITORY, load_settings
from perennial.orchestration.chain import DAY_CHAIN, DELIVERY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed (.ci/run does it)"),
]
DAY = date(2026, 1, 31)


@pytest.fixture
def containers(tmp_path):
    secrets = tmp_path / "made"
    subprocess.run([REPOSITORY / "deploy" / "make-secrets", secrets], check=True)
    build(load_settings(home=tmp_path / "home"), 500, date(2026, 1, 1), DAY)
    settings = {
        "SECRETS_FOLDER": str(secrets),
        "INBOX_FOLDER": str(tmp_path / "home" / "inbox"),
        "AIRFLOW_URL": "http://localhost:8080",
        "PERENNIAL_PUBLIC_URL": "http://localhost:8025",
        "PERENNIAL_TIMEZONE": "Europe/Berlin",
        "PERENNIAL_CURRENCY": "EUR",
        "PERENNIAL_SHOP_NAME": "A Shop",
        "PERENNIAL_SHOP_URL": "https://shop.example/",
        "PERENNIAL_SENDER": "A Shop <hello@shop.example>",
        "PERENNIAL_POSTAL_ADDRESS": "A Shop, 1 Garden Lane, 10115 Berlin",
    }
    with Containers(tmp_path, settings) as containers:
        yield containers


def test_an_installation_runs_a_day_delivers_hears_is_backed_up_and_stops(containers):
    containers.up()
    airflow = Airflow(containers)
    for name in ("api-server", "scheduler", "dag-processor", "worker", "web"):
        containers.wait_until_healthy(name)

    airflow.run(DAY_CHAIN[0], DAY_CHAIN[-1], DAY.isoformat(), {"origin": "demo"})
    assert airflow.run(DELIVERY, DELIVERY, None, {})
    published = containers.folder / "home" / "published" / "latest" / "report.html"
    assert "A Shop" in published.read_text(encoding="utf-8")
    assert b"Data quality, Saturday, 31 January 2026" in airflow.get(f"perennial/{DAY}/quality.html")
    with pytest.raises(AssertionError, match="401"):
        fetch(f"{airflow.url}/perennial/{DAY}/quality.html")

    (mail, *_) = (containers.folder / "home" / "mailbox").rglob("*.eml")
    link = re.search(rb"^List-Unsubscribe: <(http[^>]+)>", mail.read_bytes().replace(b"\r\n ", b""), re.MULTILINE)[
        1
    ].decode()
    assert "/unsubscribe/" in link
    assert fetch(link, b"List-Unsubscribe=One-Click") != b""
    assert count(containers, "perennial_warehouse", "core.customers") > 0
    assert count(containers, "perennial_ledger", "messages where state = 'accepted'") > 0
    assert count(containers, "perennial_ledger", "suppressions") == 1

    containers.run("backup")
    (backup,) = (containers.folder / "backup").iterdir()
    dump = subprocess.run(
        ["pg_restore", "--list", backup / "ledger.dump"],
        check=True,
        capture_output=True,
        text=True,
        env=containers.environment("backup"),
    )
    assert "TABLE DATA public messages" in dump.stdout
    files = subprocess.run(["tar", "-tf", backup / "files.tar"], check=True, capture_output=True, text=True).stdout
    assert "landing/" in files
    assert "ledger/" in files

    assert [path.name for path in (containers.folder / "nobody").iterdir()] == [], "a container's home is read-only"
    assert {path.name for path in (containers.folder / "airflow").iterdir()} == {"airflow.cfg", "logs"}
    codes = containers.down()
    assert codes.pop("web") == -signal.SIGTERM  # uvicorn ends in order, then by the signal it was sent
    assert {name: code for name, code in codes.items() if code != 0} == {}
    assert containers.leftovers() == []


class Airflow:
    """The API of the running installation, as its admin."""

    def __init__(self, containers: Containers) -> None:
        self.containers = containers
        self.url = f"http://127.0.0.1:{containers.ports['8080']}"
        login = {"username": "admin", "password": containers.secret("airflow_admin_password")}
        self.token = json.loads(fetch(f"{self.url}/auth/token", json.dumps(login).encode()))["access_token"]

    def run(self, first: str, last: str, day: str | None, conf: dict[str, str]) -> str:
        """Start DAG `first` and return the id of the run of `last` that follows it, when that has succeeded."""
        body = {"logical_date": None, "partition_key": day, "conf": conf}
        self._call(f"dags/{first}/dagRuns", body)
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            runs = self._call("dags/~/dagRuns?limit=100")["dag_runs"]
            assert "failed" not in [run["state"] for run in runs], self._failures()
            done = [run["dag_run_id"] for run in runs if run["dag_id"] == last and run["state"] == "success"]
            if done:
                return done[0]
            time.sleep(1)
        raise AssertionError(
            f"{last} has not succeeded:\n{json.dumps(runs, indent=1)}\n{self.containers.output('worker')[-4000:]}"
        )

    def get(self, path: str, data: bytes | None = None) -> bytes:
        return fetch(f"{self.url}/{path}", data, {"Authorization": f"Bearer {self.token}"})

    def _failures(self) -> str:
        file = self.containers.folder / "home" / "failures.jsonl"
        return file.read_text(encoding="utf-8") if file.exists() else self.containers.output("worker")[-4000:]

    def _call(self, path: str, body: object = None) -> dict:
        return json.loads(self.get(f"api/v2/{path}", None if body is None else json.dumps(body).encode()))


def count(containers, database, what):
    """How many rows there are, asked with the role and the password of the secret file."""
    server = f"postgresql://{database}@127.0.0.1:{containers.ports['5432']}/{database}"
    with psycopg.connect(server, password=containers.secret(f"{database}_password")) as connection:
        return connection.execute(f"select count(*) from {what}").fetchone()[0]


def fetch(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    kind = "application/json" if data and data.startswith(b"{") else "application/x-www-form-urlencoded"
    request = urllib.request.Request(url, data, {"Content-Type": kind} | (headers or {}))  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.read()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.code} {error.read()[:500]!r}") from error
