"""Is this installation fit to work? What is wrong is told with what to do about it."""

import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from perennial.flows.validate import checks
from perennial.foundation.days import current_time
from perennial.foundation.errors import PerennialError
from perennial.foundation.settings import Settings
from perennial.ledger import open_ledger
from perennial.warehouse import Progress, open_warehouse

_PACKAGES = ("apache-airflow", "great-expectations", "duckdb", "sqlalchemy", "sqlglot")
_LOW_DISK = 1 << 30  # bytes


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    state: Literal["ok", "warning", "wrong"]
    about: str
    what: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at Python and packages, folders, clock, warehouse, ledger, the mail server, and every file people edit."""
    yield Finding("ok" if sys.version_info >= (3, 11) else "wrong", "python", sys.version.split()[0])
    for package in _PACKAGES:
        yield _package(package)
    yield _home(settings)
    if settings.now:
        yield Finding("warning", "clock", f"demo clock: it is always {settings.now.isoformat()}; no real mail is sent")
    else:
        yield Finding(
            "ok", "clock", f"{current_time(settings).astimezone(settings.zone):%Y-%m-%d %H:%M} {settings.timezone}"
        )
    yield _warehouse(settings)
    yield _ledger(settings)
    yield _mail(settings)
    for name, check in checks(settings):
        try:
            yield Finding("ok", name, check())
        except PerennialError as error:
            yield Finding("wrong", name, str(error))


def _package(name: str) -> Finding:
    try:
        return Finding("ok", name, version(name))
    except PackageNotFoundError:
        return Finding("wrong", name, "not installed: run `make install`")


def _home(settings: Settings) -> Finding:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        probe = settings.home / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding("wrong", "home", f"{settings.home} cannot be written: {error.strerror}. Set PERENNIAL_HOME.")
    free = shutil.disk_usage(settings.home).free
    state: Literal["ok", "warning"] = "ok" if free > _LOW_DISK else "warning"
    return Finding(state, "home", f"{settings.home}, {free / (1 << 30):,.1f} GB free")


def _warehouse(settings: Settings) -> Finding:
    try:
        with open_warehouse(settings.model_copy(update={"lock_timeout": 0})) as warehouse:
            settled = Progress.read(warehouse)
    except PerennialError as error:
        return Finding("warning", "warehouse", str(error))
    return Finding("ok", "warehouse", f"refreshed up to {settled.day}" if settled else "empty: no day has been run yet")


def _ledger(settings: Settings) -> Finding:
    try:
        with open_ledger(settings) as ledger:
            ledger.require_newest()
            states = ledger.counts_by_state()
    except PerennialError as error:
        return Finding("wrong", "ledger", str(error))
    if states.get("unknown"):
        return Finding(
            "warning", "ledger", f"{states['unknown']} messages are unknown: nobody can tell if they went out"
        )
    return Finding("ok", "ledger", f"{sum(states.values()):,} messages")


def _mail(settings: Settings) -> Finding:
    if settings.delivery == "mailbox":
        return Finding("ok", "mail", f"goes to {settings.mailbox_dir}; nothing real is sent")
    server = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        with socket.create_connection((settings.smtp_host, settings.smtp_port), timeout=5):
            return Finding("ok", "mail", f"{server} answers")
    except OSError as error:
        return Finding("wrong", "mail", f"{server} does not answer ({error}). Check PERENNIAL_SMTP_HOST and _PORT.")
