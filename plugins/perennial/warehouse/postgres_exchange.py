"""
A second database beside the present one, and moving what it holds into the present one, in one transaction.

Exchanging the databases by their names would need that nobody is connected, and would take along whatever else lives in
the present one.
"""

from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.warehouse.postgres_engine import PostgresWarehouse, without_password


def scratch_url(url: str) -> str:
    """The database `<name>_rebuild` on the same server."""
    present = urlsplit(url)
    return present._replace(path=f"{present.path}_rebuild").geturl()


def create_scratch(scratch_url: str, url: str) -> None:
    """Create the scratch database, empty; raises BadConfig when the user may not create databases."""
    name = sql.Identifier(_name(scratch_url))
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))
            connection.execute(
                sql.SQL("create database {} template template0 encoding 'UTF8' {}").format(name, _locale(connection))
            )
        except psycopg.errors.InsufficientPrivilege as error:
            raise BadConfig(
                f"A rebuild needs a second database beside {without_password(url)}: let its user create one "
                "(alter role <user> createdb)."
            ) from error


def _name(url: str) -> str:
    return str(conninfo_to_dict(url)["dbname"])


def _locale(connection: psycopg.Connection) -> sql.Composable:
    """How the present database orders text."""
    [(provider, collate, ctype, builtin)] = connection.execute(
        "select datlocprovider, datcollate, datctype, to_jsonb(pg_database) ->> 'datlocale'"
        " from pg_database where datname = current_database()"
    ).fetchall()
    if provider == "b":
        return sql.SQL("locale_provider builtin builtin_locale {}").format(sql.Literal(builtin))
    return sql.SQL("lc_collate {} lc_ctype {}").format(sql.Literal(collate), sql.Literal(ctype))


def exchange(scratch_url: str, url: str, settings: Settings) -> None:
    """Let the tables of the scratch database take the place of those of the same schemas; then it is dropped."""
    with (
        PostgresWarehouse.open(url, settings) as present,
        PostgresWarehouse.open(scratch_url, settings) as scratch,
        present.transaction(),
    ):
        new_tables = scratch.tables()
        schemas = {table.partition(".")[0] for table in new_tables}
        for table in present.tables():
            if table.partition(".")[0] in schemas and table not in new_tables:
                present.drop(table)
        for table in new_tables:
            new = f"{table}__new"
            present.create(new, scratch.columns(table))
            present.copy(scratch, table, new)
            present.swap(new, table)
            present.tune(table, scratch.tuned_by(table))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(_name(scratch_url)))
        )
