"""docker-compose.yaml, Dockerfile and what belongs to them: valid, complete, hardened, and without a secret."""

import json
import re
import stat
import subprocess
from fnmatch import fnmatch

import pytest
from jsonschema import Draft7Validator

from composition import FILE, Unset, composition, needed_variables, raw, variables
from perennial import __version__
from perennial.foundation.settings import PREFIX, REPOSITORY, Settings, load_settings

SERVICES = raw()["services"]
JOBS = {"databases", "init", "backup"}
PUBLISHED = {"api-server": "127.0.0.1", "web": "127.0.0.1", "mailpit": "127.0.0.1"}
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")

every_service = pytest.mark.parametrize("name", SERVICES)


def env_file(path):
    lines = (REPOSITORY / path).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def filled(tmp_path):
    """`.env.example` as somebody filled it in."""
    example = env_file(".env.example")
    mine = {
        "SECRETS_FOLDER": str(tmp_path),
        "AIRFLOW_URL": "https://airflow.shop.example",
        "PERENNIAL_PUBLIC_URL": "https://mail.shop.example",
        "PERENNIAL_TIMEZONE": "Europe/Lisbon",
        "PERENNIAL_CURRENCY": "EUR",
        "PERENNIAL_SHOP_NAME": "A Shop",
        "PERENNIAL_SHOP_URL": "https://shop.example/",
        "PERENNIAL_SENDER": "A Shop <hello@shop.example>",
        "PERENNIAL_POSTAL_ADDRESS": "A Shop, 1 Garden Lane",
    }
    assert {name for name, value in example.items() if not value} == mine.keys() - {"SECRETS_FOLDER"}
    return example | mine


def test_the_file_fulfils_the_compose_specification(filled):
    schema = json.loads((REPOSITORY / "tests" / "compose_spec" / "schema.json").read_text(encoding="utf-8"))
    for content in (raw(), composition(filled)):
        assert [
            f"{'.'.join(map(str, e.path))}: {e.message}" for e in Draft7Validator(schema).iter_errors(content)
        ] == []


def test_what_the_example_leaves_to_fill_in_has_no_default():
    left = {name for name, value in env_file(".env.example").items() if not value}
    assert needed_variables().keys() == left | {"SECRETS_FOLDER", "INBOX_FOLDER"}


@pytest.mark.parametrize("name", needed_variables())
def test_a_variable_without_a_default_is_asked_for_by_name(name, filled):
    with pytest.raises(Unset, match=f"Set {name} in .env"):
        composition(filled | {name: ""})


def test_every_variable_is_explained_where_it_is_set():
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", FILE.read_text(encoding="utf-8")))
    passed_on = {
        name for service in SERVICES.values() for name, value in service.get("environment", {}).items() if value is None
    }
    known = set(re.findall(r"^#?([A-Z_]+)=", (REPOSITORY / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    assert (used | passed_on) - {"MAILPIT_PORT", "PERENNIAL_MEMORY_LIMIT"} == known
    assert env_file("deploy/dev.env").keys() <= known | {"COMPOSE_PROFILES"}


@every_service
def test_a_service_is_hardened_limited_and_its_log_bounded(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]  # noqa: S108 - a container's own
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert str(service["user"]).split(":")[0] not in ("root", "0")
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "container_name", "env_file"}


@every_service
def test_a_service_is_watched_and_restarted_and_a_job_ends(name):
    service = SERVICES[name]
    if name in JOBS:
        assert service["restart"] == "no"
        assert "healthcheck" not in service
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"].keys() == {"test", "interval", "timeout", "retries", "start_period"}


@every_service
def test_a_service_waits_for_what_it_needs(name):
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert wanted == {"condition": "service_completed_successfully" if other in JOBS else "service_healthy"}
        assert "profiles" not in SERVICES[other]


def test_services_of_perennial_start_after_the_init_job():
    ours = {name for name, service in SERVICES.items() if service["image"].startswith("perennial:")}
    assert {name for name in ours if "init" in SERVICES[name]["depends_on"]} == ours - {"init"}
    assert "databases" in SERVICES["init"]["depends_on"]


def test_only_the_two_applications_are_published_and_on_loopback_unless_asked(filled):
    published = {n: s["ports"] for n, s in composition(filled)["services"].items() if "ports" in s}
    assert {name: port.split(":")[0] for name, (port,) in published.items()} == PUBLISHED
    assert SERVICES["mailpit"]["profiles"] == ["dev"]
    assert raw()["networks"]["data"] == {"internal": True}
    assert {n for n, s in SERVICES.items() if s.get("networks") == ["data"]} == {
        "postgres",
        "redis",
        "databases",
        "backup",
    }


@every_service
def test_an_image_is_pinned(name):
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.match(r"v?\d+\.\d+", tag)
    assert image != "perennial" or tag == __version__


def test_a_volume_is_declared_and_the_inbox_only_read():
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {m.split(":")[0] for m in mounts if re.match(r"\w", m)} == raw()["volumes"].keys()
    assert all(m.endswith(":ro") for m in mounts if "inbox" in m or "include" in m)


def test_every_secret_comes_from_a_file_is_made_and_is_used(tmp_path):
    declared = raw()["secrets"]
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == declared.keys()
    assert {name: re.sub(r"^\$\{SECRETS_FOLDER[^}]*\}/", "", secret["file"]) for name, secret in declared.items()} == {
        name: name for name in declared
    }
    make = [REPOSITORY / "deploy" / "make-secrets", tmp_path / "made"]
    subprocess.run(make, check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "made").iterdir()}
    assert made.keys() == declared.keys()
    given = {f"perennial_{name}" for name in ("smtp_password", "sendgrid_api_key", "mailgun_api_key")}
    given |= {f"perennial_{name}_webhook_key" for name in ("sendgrid", "mailgun")}
    assert {name for name, value in made.items() if not value} == given  # theirs who give them
    assert all(re.fullmatch(r"[\w=-]{32,}", value) for name, value in made.items() if name not in given)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "made").iterdir()} == {0o440}
    subprocess.run(make, check=True)
    assert {path.name: path.read_text() for path in (tmp_path / "made").iterdir()} == made, "a secret that exists stays"


@every_service
def test_a_service_reads_only_secrets_it_was_given(name):
    service = SERVICES[name]
    said = json.dumps([service.get("command"), service.get("healthcheck")])
    assert set(re.findall(r"/run/secrets/([a-z_]+)", said)) <= set(service.get("secrets", []))


@every_service
def test_no_value_that_should_be_secret_is_written_down(name):
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|KEY|CONN|BROKER|BACKEND", variable):
            assert re.match(r"/run/secrets(/|$)|cat /run/secrets/|sh -c 'echo -n .*\$\$\(cat /run/secrets/", value), (
                variable
            )
    assert not re.search(r"(PASSWORD|SECRET|KEY)\S*=", DOCKERFILE)


@pytest.mark.parametrize("more", [".env.example", "deploy/dev.env"])
@every_service
def test_the_environment_is_known_to_perennial(name, more, filled, monkeypatch):
    settings = filled | (env_file(more) if more != ".env.example" else {})
    stated = variables(composition(settings)["services"][name], settings)
    ours = {variable: value for variable, value in stated.items() if variable.startswith(PREFIX)}
    assert {variable.removeprefix(PREFIX).lower() for variable in ours} <= Settings.model_fields.keys()
    here = {"PERENNIAL_SECRETS_DIR": filled["SECRETS_FOLDER"], "PERENNIAL_INCLUDE": str(REPOSITORY / "include")}
    for variable, value in (ours | (here if ours else {})).items():
        monkeypatch.setenv(variable, value)
    assert load_settings().timezone == ("Europe/Lisbon" if ours else "Europe/Berlin")
    assert load_settings().delivery == ("smtp" if ours and more == "deploy/dev.env" else "mailbox")


def test_the_environment_is_known_to_airflow(airflow):
    from airflow.configuration import conf

    known = conf.configuration_description
    options = {
        name: option
        for section in known
        for name, option in ((f"AIRFLOW__{section}__{key}".upper(), o) for key, o in known[section]["options"].items())
    }
    stated = {
        variable
        for service in SERVICES.values()
        for variable in service.get("environment", {})
        if variable.startswith("AIRFLOW__")
    }
    commands = {variable.removesuffix("_CMD") for variable in stated if variable.endswith("_CMD")}
    assert {variable.removesuffix("_CMD") for variable in stated} - options.keys() == set()
    assert [name for name in commands if not options[name].get("sensitive")] == [], (
        "Airflow runs commands for these only"
    )


def test_the_image_is_airflows_at_the_tested_versions():
    pinned = {list_: pins(list_) for list_ in ("server", "runtime", "dev")}
    (version, python) = re.search(r"^FROM apache/airflow:([\d.]+)-python([\d.]+)$", DOCKERFILE, re.MULTILINE).groups()
    assert pinned["server"]["apache-airflow"] == version
    assert python == "3.11"
    for other in ("runtime", "dev"):
        shared = pinned["server"].keys() & pinned[other].keys()
        assert {name: pinned[other][name] for name in shared} == {name: pinned["server"][name] for name in shared}
        assert shared >= pinned["runtime"].keys() - {"colorama ; sys_platform == 'win32'"}


def pins(name):
    """Versions by package and condition, as `make lock` wrote them."""
    lines = (REPOSITORY / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([\w.-]+)==(\S+)( ; [^#]*[^# ])?", line) for line in lines]
    return {pin[1] + (pin[3] or ""): pin[2] for pin in found if pin}


def test_the_image_is_made_of_what_the_ignore_file_lets_through_and_ends_as_nobody_special():
    allowed = [
        line[1:]
        for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    copied = re.findall(r"^COPY --chown=airflow:root (.+) \S+$", DOCKERFILE, re.MULTILINE)
    mounted = re.findall(r"source=([^,]+)", DOCKERFILE)
    for path in [*" ".join(copied).split(), *mounted]:
        assert (REPOSITORY / path).exists()
        assert any(fnmatch(path, pattern) for pattern in allowed)
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE)[-1] == "airflow"


def test_postgres_orders_text_as_the_tables_expect():
    arguments = SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    script = (REPOSITORY / "deploy" / "databases.sql").read_text(encoding="utf-8")
    assert {"--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"} <= set(arguments)
    assert "encoding ''UTF8'' locale_provider builtin builtin_locale ''C.UTF-8''" in script
