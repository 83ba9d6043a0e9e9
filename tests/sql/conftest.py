import pytest

from table_bench import Bench


@pytest.fixture(scope="session")
def bench(warehouses):
    return Bench(warehouses)
