"""The published pages in the Airflow UI: `perennial.orchestration.pages` says which, and who may see them."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from perennial.orchestration.pages import VIEWS, apps


class PerennialPages(AirflowPlugin):
    """Airflow executes this file in each of its processes, and asks for the apps in the API server only."""

    name = "perennial"
    external_views = VIEWS

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        return apps()
