"""Which engine: the scheme of the warehouse URL says it, and nothing else in Perennial needs to know."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.warehouse import duckdb_engine, postgres_exchange
from perennial.warehouse.duckdb_engine import DuckDBWarehouse
from perennial.warehouse.engine import Warehouse
from perennial.warehouse.postgres_engine import PostgresWarehouse


@contextmanager
def open_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The warehouse, held for writing; raises Retryable naming the holder while another process has it."""
    file = _file(settings)
    opened = DuckDBWarehouse.open(file, settings) if file else PostgresWarehouse.open(settings.warehouse_url, settings)
    with opened as warehouse:
        yield warehouse


def scratch_beside(settings: Settings) -> Settings:
    """Settings for a second warehouse of the same kind, to be created, filled, and exchanged for the present one."""
    url = (
        f"duckdb:///{settings.home / 'rebuild' / 'warehouse.duckdb'}"
        if _file(settings)
        else postgres_exchange.scratch_url(settings.warehouse_url)
    )
    return settings.model_copy(update={"warehouse": url})


def create_scratch(scratch: Settings, settings: Settings) -> None:
    """Make the scratch warehouse, empty, instead of one that an earlier try left behind."""
    if file := _file(scratch):
        file.unlink(missing_ok=True)
    else:
        postgres_exchange.create_scratch(scratch.warehouse_url, settings.warehouse_url)


def exchange(scratch: Settings, settings: Settings) -> None:
    """Let what the scratch warehouse holds, closed and complete, take the place of the present one."""
    new, old = _file(scratch), _file(settings)
    if new and old:
        duckdb_engine.exchange(new, old, settings)
    else:
        postgres_exchange.exchange(scratch.warehouse_url, settings.warehouse_url, settings)


def _file(settings: Settings) -> Path | None:
    """The DuckDB file, None for a PostgreSQL database."""
    scheme, _, path = settings.warehouse_url.partition("://")
    if scheme in ("postgresql", "postgres"):
        return None
    if scheme != "duckdb" or not path.startswith("/") or path == "/":
        # the rest of another URL may hold a password: it is not repeated
        raise BadConfig(
            "PERENNIAL_WAREHOUSE must name a DuckDB file, as duckdb:///<path>, or a PostgreSQL database, as "
            "postgresql://<user>:<password>@<host>/<database>."
        )
    return Path(path[1:])
