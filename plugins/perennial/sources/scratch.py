"""A DuckDB database that lives as long as one batch: in memory, spilling to disk, and closed to the outside in time."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from perennial.foundation.settings import Settings
from perennial.sources.functions import add_functions


@dataclass(frozen=True)
class Scratch:
    """A connection and a folder for temporary files. Both are gone after the batch."""

    connection: duckdb.DuckDBPyConnection
    folder: Path

    def rows(self, sql: str, parameters: object = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def close_to_the_outside(self) -> None:
        """From now on no expression can read or write a file, or change this."""
        self.connection.execute("set enable_external_access = false")
        self.connection.execute("set lock_configuration = true")


@contextmanager
def open_scratch(timezone: str, settings: Settings, folder: Path | None = None) -> Iterator[Scratch]:
    """
    A scratch database whose times without an offset are those of `timezone`.

    One at a time: the caller holds the warehouse, or a `folder` of its own, so what an earlier, killed run left behind
    is removed.
    """
    folder = folder or settings.home / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    connection = duckdb.connect(config={"memory_limit": settings.memory_limit, "temp_directory": str(folder / "spill")})
    try:
        connection.execute(f"set timezone = '{timezone}'")
        connection.execute("set enable_progress_bar = false")
        add_functions(connection)
        yield Scratch(connection, folder)
    finally:
        connection.close()
        shutil.rmtree(folder, ignore_errors=True)
