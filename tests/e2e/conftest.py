import pytest

from e2e.scheduler import Scheduler


@pytest.fixture
def scheduler(airflow, home, monkeypatch):
    """The real scheduler over the real DAG files, in this process. See e2e/scheduler.py."""
    return Scheduler(monkeypatch)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home and the demo clock, as every task of the test sees them."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_NOW", "2026-02-01T23:00:00+01:00")
    return tmp_path
