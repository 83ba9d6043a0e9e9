"""Airflow Connections as plain settings. Where a Connection exists it wins over the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings, load_settings

if TYPE_CHECKING:
    from airflow.sdk import Connection

# Airflow's names for a kind of database, and SQLAlchemy's.
_SCHEMES = {"postgres": "postgresql", "postgresql": "postgresql", "duckdb": "duckdb", "sqlite": "sqlite"}


def connected_settings() -> Settings:
    """Read the settings as a task sees them: the environment, then Connections. Call it inside a task only."""
    found: dict[str, Any] = {}
    if warehouse := _connection("perennial_warehouse"):
        found["warehouse"] = _database_url(warehouse)
    if ledger := _connection("perennial_ledger"):
        found["ledger"] = _database_url(ledger)
    if smtp := _connection("smtp_default"):
        found |= _smtp_settings(smtp)
    return load_settings(**found)


def _connection(conn_id: str) -> Connection | None:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found: Connection = Connection.get(conn_id)
    except AirflowNotFoundException:
        return None
    return found


def _database_url(connection: Connection) -> str:
    """`postgresql://user:password@host:port/schema`; for a file, `duckdb:///<host>`."""
    kind = connection.conn_type or "(none)"
    if kind not in _SCHEMES:
        raise BadConfig(f"Connection {connection.conn_id}: type {kind!r} is not supported; use {', '.join(_SCHEMES)}.")
    scheme = _SCHEMES[kind]
    if scheme in ("duckdb", "sqlite"):
        return f"{scheme}:///{connection.host}"
    user = quote(connection.login or "", safe="")
    password = quote(connection.password or "", safe="")
    return f"{scheme}://{user}:{password}@{connection.host}:{connection.port or 5432}/{connection.schema}"


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
