"""
Homes whose warehouse and ledger are on one engine: DuckDB and SQLite files below the home, or databases of a server.

A home can be copied, can lose its warehouse, can be given to a process, and a day can be run in it.
"""

import shutil
from pathlib import Path

import pytest

from perennial.flows import publish
from perennial.flows.day import steps
from perennial.foundation.days import Run, run_of, yesterday
from perennial.foundation.settings import PREFIX, Settings, load_settings


class Homes:
    """Homes of one engine. On a server the ledger has a database of its own, or shares the warehouse's."""

    def __init__(self, engine, server, *, shared=False):
        self.engine = engine
        self._server = server
        self._shared = shared

    def settings(self, home: Path, **others) -> Settings:
        """Settings of a home in which nothing was run."""
        if self.engine == "postgresql":
            others["warehouse"] = self._server.database()
            others["ledger"] = others["warehouse"] if self._shared else self._server.database()
        return load_settings(home=home, **others)

    def copy(self, original: Settings, home: Path, **others) -> Settings:
        """A home that holds what the original holds now: its files, and its databases."""
        shutil.copytree(original.home, home, symlinks=True)
        copies = {url: self._server.copy(url) for url in {original.warehouse, original.ledger} - {None}}
        others |= {name: copies.get(getattr(original, name)) for name in ("warehouse", "ledger")}
        return load_settings(home=home, **others)

    def lose_warehouse(self, settings: Settings) -> None:
        """As after a broken disk: there is nothing where the warehouse was."""
        if settings.warehouse:
            self._server.empty(settings.warehouse)
        else:
            (settings.home / "warehouse.duckdb").unlink()


def reopened(settings: Settings) -> Settings:
    """Settings of the same home by the clock that it has now."""
    return load_settings(home=settings.home, warehouse=settings.warehouse, ledger=settings.ledger)


def environment(settings: Settings) -> dict[str, str]:
    """What makes a process use this home."""
    told = {"home": settings.home, "warehouse": settings.warehouse, "ledger": settings.ledger}
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in told.items() if value is not None}


def run_day(run: Run, settings: Settings) -> None:
    """Run a day without Airflow, in this process. Its report is not drawn, which is a fourth of a small day."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "render_report", lambda *_: "<!doctype html>")
        for _, step in steps(run, settings):
            step()


def run_newest_day(settings: Settings) -> None:
    """`run_day` of the clock's yesterday."""
    run_day(run_of(yesterday(settings), settings), settings)
