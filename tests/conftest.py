import os

import pytest

from perennial.foundation.settings import load_settings
from postgres import running_server


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for the session; `postgres.database()` is the URL of an empty database of its own."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def airflow(tmp_path_factory):
    """Airflow, configured as the local stack configures it, with an empty metadata database for the session."""
    from perennial.orchestration.environment import airflow_environment

    settings = load_settings(home=tmp_path_factory.mktemp("airflow"))
    os.environ.update(airflow_environment(settings, port=0))  # for the session: Airflow reads it once, at its import
    import airflow

    return airflow
