"""Is this installation fit to work? What is wrong is told with what to do about it."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from perennial.delivery.provider import open_provider
from perennial.flows.validate import checks
from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig, PerennialError
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
    if settings.bounce_mailbox is not None:
        yield _bounces(settings.bounce_mailbox)
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
            states, outages = ledger.counts_by_state(), ledger.outages()
    except PerennialError as error:
        return Finding("wrong", "ledger", str(error))
    if states.get("unknown"):
        return Finding(
            "warning", "ledger", f"{states['unknown']} messages are unknown: nobody can tell if they went out"
        )
    if outages:
        worst = max(outages, key=lambda outage: outage.attempts)
        since = f"{worst.attempts} attempts since {worst.since:%Y-%m-%d %H:%M} UTC"
        return Finding("warning", "ledger", f"{worst.provider} took nothing in {since}: {worst.error}")
    return Finding("ok", "ledger", f"{sum(states.values()):,} messages")


def _mail(settings: Settings) -> Finding:
    if settings.delivery == "mailbox":
        return Finding("ok", "mail", f"goes to {settings.mailbox_dir}; nothing real is sent")
    answering = []
    for name in filter(None, (settings.delivery, settings.delivery_fallback)):
        host, port, setting = _server(name, settings)
        try:
            with open_provider(name, settings), socket.create_connection((host, port), timeout=5):
                answering.append(f"{host}:{port} answers")
        except OSError as error:
            return Finding("wrong", "mail", f"{host}:{port} does not answer ({error}). Check {setting}.")
        except BadConfig as error:
            return Finding("wrong", "mail", str(error))
    return Finding("ok", "mail", ", ".join(answering))


def _server(name: str, settings: Settings) -> tuple[str, int, str]:
    """Host and port of a provider of real mail, and the settings that say so."""
    if name == "smtp":
        return settings.smtp_host, settings.smtp_port, "PERENNIAL_SMTP_HOST and _PORT"
    url = urlsplit(settings.sendgrid_url if name == "sendgrid" else settings.mailgun_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.hostname or "", port, f"PERENNIAL_{name.upper()}_URL"


def _bounces(folder: Path) -> Finding:
    if not (folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)):
        return Finding("wrong", "bounces", f"{folder} is no folder that can be read. Set PERENNIAL_BOUNCE_MAILBOX.")
    return Finding("ok", "bounces", f"are read from {folder}")
