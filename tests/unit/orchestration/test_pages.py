"""The plugin as Airflow loads it: what it shows where, that each route asks who is there, and that it costs no time."""

import json
import subprocess
import sys
from datetime import date
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from perennial.foundation.settings import REPOSITORY
from perennial.orchestration import pages

PATHS = {"/runs/{dag_id}/{run_id:path}": "/runs/theirs/a%2Bb", "/{day}/{page}": "/latest/report.html"}


@pytest.fixture
def client(airflow, monkeypatch, tmp_path):
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    pages.apps.cache_clear()
    (mounted,) = pages.apps()
    yield TestClient(mounted["app"], follow_redirects=False)
    pages.apps.cache_clear()


def test_every_route_is_known_here_and_refuses_who_has_no_login(client):
    assert {route.path for route in client.app.routes} == PATHS.keys()
    for path in PATHS.values():
        assert client.get(path).status_code == 401


def test_every_route_asks_for_the_right_to_read_the_dag(client, monkeypatch):
    from airflow.api_fastapi.core_api import security
    from airflow.models.dag import DagModel

    asked = []

    def refuse(*, method, access_entity, details, user):
        asked.append((method, access_entity and access_entity.name, details.id, user))
        return False

    monkeypatch.setattr(DagModel, "get_team_name", lambda _: None)
    monkeypatch.setattr(security, "get_auth_manager", lambda: SimpleNamespace(is_authorized_dag=refuse))
    client.app.dependency_overrides[security.get_user] = lambda: "somebody"
    for path in PATHS.values():
        assert client.get(path).status_code == 403
    assert asked == [("GET", "RUN", "theirs", "somebody"), ("GET", None, "publish_metrics", "somebody")]


def test_the_tab_of_a_run_leads_to_a_route_and_each_view_has_an_address_of_its_own():
    places = {view["destination"]: view["href"] for view in pages.VIEWS}
    assert places == {"dag_run": "/perennial/runs/{DAG_ID}/{RUN_ID}", "nav": "/perennial/latest/report.html"}
    assert len({view["url_route"] for view in pages.VIEWS}) == len(pages.VIEWS)


def test_the_day_of_a_run_is_that_of_its_tasks(airflow):
    from airflow.models.dagrun import DagRun
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    with create_session() as session:
        for run, told in {
            "keyed": {"partition_key": "2026-01-31"},
            "told": {"conf": {"day": "2026-01-30"}},
            "odd": {"partition_key": "every day"},
            "none": {},
        }.items():
            session.add(DagRun(dag_id="a_dag", run_id=run, run_type="manual", **told))
    found = {run: pages.day_of_run("a_dag", run) for run in ("keyed", "told", "odd", "none", "unknown")}
    with create_session() as session:  # other tests of the session run schedulers
        session.query(DagRun).filter(DagRun.dag_id == "a_dag").delete()
    assert found == {
        "keyed": date(2026, 1, 31), "told": date(2026, 1, 30), "odd": None, "none": None, "unknown": None,
    }  # fmt: skip


LOAD = """
import json, sys, time
import airflow.sdk
from airflow import plugins_manager
started, before = time.process_time(), set(sys.modules)
plugins, errors = plugins_manager._get_plugins()
new = set(sys.modules) - before
print(json.dumps([[p.name for p in plugins if "perennial" in str(p.source)], errors, sorted(new & set(sys.argv[1:]))]))
"""


def test_airflow_loads_one_plugin_without_what_only_the_api_server_needs(airflow):
    heavy = ("fastapi", "duckdb", "pyarrow", "jinja2", "perennial.web.published", "perennial.cli")
    done = subprocess.run([sys.executable, "-c", LOAD, *heavy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [["perennial"], {}, []]
    assert sorted(path.name for path in (REPOSITORY / "plugins").glob("*.py")) == ["perennial_pages.py"]
