import gc
import os

import pytest

from engines import ENGINES, Warehouses
from homes import Homes
from perennial.foundation.settings import load_settings
from postgres import running_server


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Spread over processes, what is slow begins first and what is quick fills the gaps in the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Two processes more than there are cores: tests of whole installations wait for much."""
    return len(os.sched_getaffinity(0)) + 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Spread over processes, the tests of one file and one engine stay together: they share what is expensive."""
    from xdist.scheduler import LoadScopeScheduling

    class OneFileAndEngine(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            if "online_retail" in file or "real_year" in test:
                return "the real year"
            engines = (engine for engine in ENGINES if engine in test.partition("[")[2])
            return f"{file} {next(engines, '')}"

    return OneFileAndEngine(config, log)


def pytest_unconfigure():
    # Hypothesis watches garbage collection, and what it reaches outlives the interpreter: DuckDB would report that all
    # of itself has leaked.
    gc.callbacks.clear()


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for the session; `postgres.database()` is the URL of an empty database of its own."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session", params=ENGINES)
def warehouses(request):
    """Warehouses of one engine; a test that uses them runs on each."""
    with Warehouses(
        request.param, request.getfixturevalue("postgres") if request.param == "postgresql" else None
    ) as made:
        yield made


@pytest.fixture(scope="session", params=ENGINES)
def homes(request):
    """Homes whose warehouse and ledger are both on one engine; a test that uses them runs on each."""
    return Homes(request.param, request.getfixturevalue("postgres") if request.param == "postgresql" else None)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request):
    """A ledger's URL on each engine; None is the SQLite file below the home."""
    return request.getfixturevalue("postgres").database() if request.param == "postgresql" else None


@pytest.fixture
def copy_of_ledger(request):
    """A function that copies a ledger as it is now and returns one that puts the copy back (and gives settings)."""

    def copy(settings):
        if settings.ledger:
            url = request.getfixturevalue("postgres").copy(settings.ledger)
            return lambda: settings.model_copy(update={"ledger": url})
        content = (settings.ledger_dir / "ledger.sqlite").read_bytes()

        def put_back():
            for leftover in settings.ledger_dir.glob("ledger.sqlite*"):
                leftover.unlink()
            (settings.ledger_dir / "ledger.sqlite").write_bytes(content)
            return settings

        return put_back

    return copy


@pytest.fixture(scope="session")
def airflow(tmp_path_factory):
    """Airflow, configured as the local stack configures it, with an empty metadata database for the session."""
    from perennial.orchestration.environment import airflow_environment

    settings = load_settings(home=tmp_path_factory.mktemp("airflow"))
    os.environ.update(airflow_environment(settings, port=0))  # for the session: Airflow reads it once, at its import
    import airflow

    return airflow
