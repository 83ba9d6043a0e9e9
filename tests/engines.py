"""Both engines, so that a test can be held on each: `warehouses.empty()`, `warehouses.settings(home)`."""

from contextlib import ExitStack
from pathlib import Path

from perennial.foundation.settings import load_settings
from perennial.warehouse.duckdb_engine import DuckDBWarehouse
from perennial.warehouse.postgres_engine import PostgresWarehouse

ENGINES = ("duckdb", "postgresql")
SETTINGS = load_settings(now="2026-02-01T09:30:00+01:00")


class Warehouses:
    """Empty warehouses of one engine."""

    def __init__(self, engine, server):
        self.engine = engine
        self._server = server
        self._open = ExitStack()
        self._lent = {}  # database → the warehouse in it, as it was given out last

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    def empty(self):
        """A warehouse with nothing in it; close it, so that its database can be given out again."""
        if self.engine == "duckdb":
            return DuckDBWarehouse.connect(Path(":memory:"), SETTINGS)
        free = (url for url, lent in self._lent.items() if lent._connection.closed)
        url = next(free, None) or self._server.database()
        self._lent[url] = warehouse = self._open.enter_context(PostgresWarehouse.open(url, SETTINGS))
        for schema in {table.partition(".")[0] for table in warehouse.tables()}:
            warehouse.execute(f"drop schema {schema} cascade")
        return warehouse

    def settings(self, home, **others):
        """Settings of a home whose warehouse is of this engine."""
        if self.engine == "postgresql":
            others["warehouse"] = self._server.database()
        return load_settings(home=home, **others)
