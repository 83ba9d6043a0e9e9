"""
The published pages in the Airflow UI: the quality page of its day beside each DAG run, the newest report in the menu.

`plugins/perennial_pages.py` registers them. Airflow loads a plugin in every process, so everything heavy is imported
where the API server asks for it.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings

PREFIX = "/perennial"
VIEWS = [
    {
        "name": "Data quality",
        "href": f"{PREFIX}/runs/{{DAG_ID}}/{{RUN_ID}}",
        "destination": "dag_run",
        "url_route": "data_quality",
    },
    {"name": "Report", "href": f"{PREFIX}/latest/report.html", "destination": "nav", "url_route": "report"},
]
_PUBLISHES = "publish_metrics"  # who may read this DAG may read what it publishes


@cache
def apps() -> list[dict[str, Any]]:
    """The app that serves the pages, as Airflow mounts it. Each route asks for a login and the right to read."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag

    from perennial.web.published import create_published_app

    app = create_published_app(
        published_dir,
        day_of_run,
        may_read=requires_access_dag("GET", param_dag_id=_PUBLISHES),
        may_read_run=requires_access_dag("GET", DagAccessEntity.RUN),
    )
    return [{"name": "Perennial", "app": app, "url_prefix": PREFIX}]


def published_dir() -> Path:
    """Read anew each time: a wrong setting must not keep the API server from starting."""
    return load_settings().published_dir


def day_of_run(dag_id: str, run_id: str) -> date | None:
    """The day a run is about; None if it is about none, or there is no such run."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    from perennial.orchestration.runs import day_of

    with create_session() as session:
        run = session.query(DagRun).filter(DagRun.dag_id == dag_id, DagRun.run_id == run_id).one_or_none()
        try:
            return day_of(run) if run else None
        except BadConfig:
            return None
