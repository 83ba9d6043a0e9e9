"""Airflow Connections as plain settings. Where a Connection exists it wins over the environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings, load_settings

if TYPE_CHECKING:
    from airflow.sdk import Connection

# Airflow's names for a kind of database, and SQLAlchemy's.
_SCHEMES = {"postgres": "postgresql", "postgresql": "postgresql", "duckdb": "duckdb", "sqlite": "sqlite"}
# What the extras of a PostgreSQL Connection may say: of libpq's options those that neither hold a secret nor change
# what Perennial relies on.
_LIBPQ = {
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding", "gssencmode", "require_auth"),
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    *("tcp_user_timeout", "target_session_attrs", "application_name", "options", "service", "passfile"),
}


def connected_settings() -> Settings:
    """
    Read the settings as a task sees them: the environment, then Connections. Call it inside a task only.

    Raises BadConfig for a Connection that cannot be used, and for a SQLite ledger where tasks may run on other hosts.
    """
    found: dict[str, Any] = {}
    if warehouse := _connection("perennial_warehouse"):
        found["warehouse"] = _database_url(warehouse)
    if ledger := _connection("perennial_ledger"):
        found["ledger"] = _database_url(ledger)
    if smtp := _connection("smtp_default"):
        found |= _smtp_settings(smtp)
    settings = load_settings(**found)
    for name in ("sendgrid", "mailgun"):
        is_used = name in (settings.delivery, settings.delivery_fallback)
        if is_used and (connection := _connection(f"{name}_default")):
            found |= _api_settings(name, connection)
            settings = load_settings(**found)
    _require_shared_ledger(settings)
    return settings


def source_settings(name: str, settings: Settings) -> Settings:
    """
    The settings, with the URL of the database or shop that a source reads, if `perennial_source_<connection>` says it.

    Only the task that pulls asks for it: a wrong source file stops no other task, and that task says what is wrong.
    """
    from perennial.sources import load_source

    try:
        source = load_source(name, settings)
    except BadConfig:
        return settings
    place = source.woocommerce or source.database
    connection = place.connection if place else None
    found = _connection(f"perennial_source_{connection}") if connection else None
    if not connection or not found:
        return settings
    url = SecretStr(_shop_url(found) if source.woocommerce else _database_url(found))
    return settings.model_copy(update={"connections": {**settings.connections, connection: url}})


def _require_shared_ledger(settings: Settings) -> None:
    """SQLite's locks hold on one host only: two workers elsewhere could claim, and send, the same messages."""
    from airflow.sdk.configuration import conf

    if not settings.ledger_url.startswith("sqlite"):
        return
    # `core.executor` lists executors, of teams too: `LocalExecutor,CeleryExecutor:alias;team=some.module.Executor`.
    configured = conf.get("core", "executor")
    names = [re.split("[=.]", one.split(":")[0])[-1].strip() for one in re.split("[,;]", configured)]
    if distributed := [name for name in names if name != "LocalExecutor"]:
        raise BadConfig(
            f"The ledger is a SQLite file, and tasks run under {', '.join(distributed)}, perhaps on several hosts: set "
            "PERENNIAL_LEDGER, or the Connection perennial_ledger, to a PostgreSQL database."
        )


def _connection(conn_id: str) -> Connection | None:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found: Connection = Connection.get(conn_id)
    except AirflowNotFoundException:
        return None
    return found


def _database_url(connection: Connection) -> str:
    """
    `postgresql://user:password@host:port/database?sslmode=…`; for a file, `duckdb:///<host>`.

    A host that is a path is the folder of a Unix socket. Extras are passed on to libpq, which knows their meaning.
    """
    where = f"Connection {connection.conn_id}"
    kind = connection.conn_type or "(none)"
    if kind not in _SCHEMES:
        raise BadConfig(f"{where}: type {kind!r} is not supported; use {', '.join(_SCHEMES)}.")
    scheme, host = _SCHEMES[kind], connection.host or ""
    if scheme in ("duckdb", "sqlite"):
        if not host:
            raise BadConfig(f"{where}: it names no file. Put its path into the host field.")
        return f"{scheme}:///{host}"
    if not connection.schema:
        raise BadConfig(f"{where}: it names no database. Put its name into the schema field.")
    options = {name: str(value) for name, value in connection.extra_dejson.items()}
    if unknown := sorted(set(options) - _LIBPQ):
        raise BadConfig(f"{where}: extra {', '.join(unknown)} is not supported; use {', '.join(sorted(_LIBPQ))}.")
    port = str(connection.port) if connection.port else ""
    if host.startswith("/"):
        options["host"], host = host, ""
        if port:
            options["port"], port = port, ""
    user = quote(connection.login or "", safe="")
    password = ":" + quote(connection.password, safe="") if connection.password else ""
    address = (f"[{host}]" if ":" in host else host) + (port and f":{port}")
    authority = f"{user}{password}@{address}" if user else address
    query = "?" + urlencode(options, quote_via=quote) if options else ""
    return f"{scheme}://{authority}/{quote(connection.schema, safe='')}{query}"


def _shop_url(connection: Connection) -> str:
    """`https://key:secret@host:port/folder`. As Airflow's HTTP hook has it, the host may hold scheme and folder too."""
    where = f"Connection {connection.conn_id}"
    if connection.conn_type not in ("http", "https"):
        raise BadConfig(f"{where}: type {connection.conn_type!r} is not supported for a shop; use http.")
    scheme, _, rest = (connection.host or "").rpartition("://")
    scheme = scheme or connection.schema or "https"
    if scheme not in ("http", "https"):
        raise BadConfig(f"{where}: schema {scheme!r} is neither https nor http. A folder goes into the host field.")
    host, slash, folder = rest.partition("/")
    port = f":{connection.port}" if connection.port else ""
    login = ":".join(quote(part or "", safe="") for part in (connection.login, connection.password))
    return f"{scheme}://{login}@{host}{port}{slash}{folder}"


def _smtp_settings(connection: Connection) -> dict[str, Any]:
    """Read it as Airflow's own SMTP hook does: TLS at once unless disabled, else STARTTLS unless disabled."""
    extra = connection.extra_dejson
    security = "tls" if not extra.get("disable_ssl") else "starttls" if not extra.get("disable_tls") else "none"
    stated = {
        "smtp_host": connection.host,
        "smtp_port": connection.port,
        "smtp_user": connection.login,
        "smtp_password": connection.password,
        "smtp_timeout": extra.get("timeout"),
        "sender": extra.get("from_email"),
    }
    return {"smtp_security": security} | {name: value for name, value in stated.items() if value is not None}


def _api_settings(name: str, connection: Connection) -> dict[str, Any]:
    """The password is the key, as in Airflow's own SendGrid provider; the host is needed outside the USA only."""
    host = connection.host or ""
    stated = {
        f"{name}_api_key": connection.password,
        f"{name}_url": host if "://" in host or not host else f"https://{host}",
    }
    if name == "mailgun":
        stated["mailgun_domain"] = connection.extra_dejson.get("domain")
    return {setting: value for setting, value in stated.items() if value}
