"""
Prepare a server: `python -m perennial.orchestration.server`, the init job of docker-compose.yaml.

Databases to their newest schema, pools, the first login. One process, because each start of Airflow costs seconds; it
may be run at any time and any number of times, and an upgrade is to run it again.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from perennial.foundation.errors import BadConfig, PerennialError
from perennial.foundation.settings import load_settings
from perennial.ledger import migrate
from perennial.orchestration.pools import create_pools

ADMIN = "admin"

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Prepare everything; return 0, or 1 after saying what a person must do."""
    parser = argparse.ArgumentParser(prog="python -m perennial.orchestration.server", description=__doc__)
    parser.add_argument("--admin-password-file", type=Path, required=True, help="for the first login, 'admin'")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        prepare(options.admin_password_file)
    except PerennialError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


def prepare(admin_password_file: Path) -> None:
    """
    Raise Airflow's metadata and the ledger to this version, create the pools, and the first login if there is none.

    Raises BadConfig for a wrong setting or an empty password.
    """
    settings = load_settings()
    password = _password(admin_password_file)  # before Airflow is loaded, which takes seconds

    from airflow.utils.db import initdb

    initdb()
    create_pools(settings)
    migrate(settings)
    create_admin(password)


def create_admin(password: str) -> None:
    """Create the login `admin` with the role Admin, unless it exists: then its password is changed in Airflow only."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        security = builder.sm
        if security.find_user(username=ADMIN):
            return
        user = security.add_user(
            ADMIN, "Perennial", "Admin", f"{ADMIN}@localhost", security.find_role("Admin"), password
        )
        if not user:
            raise BadConfig(f"Airflow refused to create the login {ADMIN!r}; its log says why.")
        log.info("Created the login %r with the password of the secret file.", ADMIN)


def _password(file: Path) -> str:
    try:
        password = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadConfig(f"The admin's password file {file} cannot be read: {error.strerror}.") from error
    if not password:
        raise BadConfig(f"The admin's password file {file} is empty.")
    return password


if __name__ == "__main__":
    sys.exit(main())
