"""docker-compose.yaml read as Docker Compose reads it: variables put in, anchors resolved, services in their order."""

import re
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

import yaml

from perennial.foundation.settings import REPOSITORY

FILE = REPOSITORY / "docker-compose.yaml"
# $$, or ${NAME}, ${NAME:-default}, ${NAME:?message}
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::(?P<how>[-?])(?P<text>[^}]*))?\})")


class Unset(Exception):
    """A variable without a default is unset or empty; the message is that of the file."""


def composition(environment: Mapping[str, str]) -> dict[str, Any]:
    """The file with `environment` put in. Raises Unset."""
    return _put_in(raw(), environment)


def raw() -> dict[str, Any]:
    """The file as it is written."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if not key.startswith("x-")}


def needed_variables() -> dict[str, str]:
    """Every variable that has no default, with the message for whoever leaves it out."""
    text = FILE.read_text(encoding="utf-8")
    return {found["name"]: found["text"] for found in _VARIABLE.finditer(text) if found["how"] == "?"}


def start_order(services: dict[str, Any]) -> Iterator[str]:
    """Names of the services, each after those it depends on."""
    return iter(
        TopologicalSorter({name: service.get("depends_on", {}) for name, service in services.items()}).static_order()
    )


def variables(service: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service: a name without a value is passed on, or left out where it is not set."""
    stated = service.get("environment", {})
    return {
        name: environment[name] if value is None else value
        for name, value in stated.items()
        if value is not None or name in environment
    }


def _put_in(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _put_in(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_put_in(item, environment) for item in value]
    return _VARIABLE.sub(lambda found: _replacement(found, environment), value) if isinstance(value, str) else value


def _replacement(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found["escaped"]:
        return "$"
    value = environment.get(found["name"], "")
    if not value and found["how"] == "?":
        raise Unset(found["text"])
    return value or (found["text"] if found["how"] == "-" else "")
