"""The environment of a local Airflow: everything below `<home>/airflow`, on loopback, quick to react."""

import base64
import json
import secrets
import socket
from pathlib import Path

from perennial.foundation.settings import REPOSITORY, Settings

LOGIN = "admin"


def airflow_home(settings: Settings) -> Path:
    return settings.home / "airflow"


def airflow_environment(settings: Settings, port: int) -> dict[str, str]:
    """
    The variables that make any Airflow process part of the local stack whose API listens on `port`.

    Generates keys and the password of the demo login on first use, into files only their owner can read.
    """
    home = airflow_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    options = {
        "core.executor": "LocalExecutor",
        "core.parallelism": 4,
        "core.dags_folder": REPOSITORY / "dags",
        "core.plugins_folder": REPOSITORY / "plugins",
        "core.load_examples": False,
        "core.fernet_key": _secret(home / "fernet.key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()),
        "core.execution_api_server_url": f"{url}/execution/",
        "core.simple_auth_manager_users": f"{LOGIN}:admin",
        "core.simple_auth_manager_passwords_file": _password_file(home),
        "database.sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}",
        "api.host": "127.0.0.1",
        "api.port": port,
        "api.base_url": url,
        "api.workers": 1,
        "api.secret_key": _secret(home / "session.key", secrets.token_urlsafe(48)),
        "api_auth.jwt_secret": _secret(home / "jwt.key", secrets.token_urlsafe(64)),
        "scheduler.scheduler_idle_sleep_time": 0.1,
        "dag_processor.refresh_interval": 5,
        "dag_processor.min_file_process_interval": 30,
        "workers.min_heartbeat_interval": 1,  # also how long a failed task may take to be noticed
        "logging.logging_level": "WARNING",
    }
    variables = {f"AIRFLOW__{name.replace('.', '__').upper()}": str(value) for name, value in options.items()}
    return variables | {
        "AIRFLOW_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore::DeprecationWarning,ignore:Using `httpx`",  # of Airflow's own libraries, in each log
    }


def password(settings: Settings) -> str:
    """The password of the demo login."""
    stored: dict[str, str] = json.loads(_password_file(airflow_home(settings)).read_text(encoding="utf-8"))
    return stored[LOGIN]


def free_port(preferred: int = 0) -> int:
    """`preferred` if nothing listens there, else any free port on loopback."""
    for port in (preferred, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise OSError("No free port on 127.0.0.1.")


def _password_file(home: Path) -> Path:
    path = home / "passwords.json"
    _secret(path, json.dumps({LOGIN: secrets.token_urlsafe(9)}))
    return path


def _secret(path: Path, generated: str) -> str:
    """What the file holds; if there is none, it is created with what was generated."""
    if not path.exists():
        part = path.with_suffix(".part")  # a kill between create and write must not leave an empty key
        part.touch(mode=0o600)
        part.write_text(generated, encoding="utf-8")
        part.rename(path)
    return path.read_text(encoding="utf-8")
