"""YAML files read into frozen models, with errors that name file, field and value."""

from collections.abc import Hashable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from perennial.foundation.errors import BadConfig


class Document(BaseModel):
    """The base of everything a person writes in YAML: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


D = TypeVar("D", bound=Document)


class _StrictLoader(yaml.CSafeLoader):
    """Safe YAML that refuses a key written twice, which plain YAML silently lets win."""


def _mapping_without_repeats(loader: _StrictLoader, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, Hashable):  # such as the mapping that an unquoted {{ … }} is
            continue  # refused below
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is written twice", key_node.start_mark)
        seen.add(key)
    return yaml.CSafeLoader.construct_mapping(loader, node, deep=True)


def _date(loader: _StrictLoader, node: yaml.ScalarNode) -> object:
    try:
        return yaml.CSafeLoader.construct_yaml_timestamp(loader, node)
    except ValueError as error:
        problem = f"{node.value} is not a date: {error}"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping_without_repeats)
_StrictLoader.add_constructor("tag:yaml.org,2002:timestamp", _date)


def read_document(path: Path, model: type[D]) -> D:
    """
    Read one YAML file as `model`.

    Raises BadConfig naming the file, the field, what is wrong with it and the value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BadConfig(f"{path}: no such file.") from error
    except UnicodeDecodeError as error:
        raise BadConfig(f"{path}: not readable as YAML: {error}") from error
    return cast(D, _document(path, text, model))


@lru_cache(maxsize=512)  # each step of a day asks for most of them
def _document(path: Path, text: str, model: type[Document]) -> Document:
    try:
        content = yaml.load(text, _StrictLoader)  # noqa: S506 - a safe loader, made stricter
    except yaml.YAMLError as error:
        raise BadConfig(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise BadConfig(f"{path}: expected a mapping of fields at the top, got {found}.")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise BadConfig("\n".join(_problems(path, error))) from error


def _problems(path: Path, error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
        if problem["type"] == "extra_forbidden":
            yield f"{path}: unknown field {field} (value {problem['input']!r}). Remove it or correct its spelling."
        elif problem["type"] == "missing":
            yield f"{path}: field {field} is missing."
        else:
            yield f"{path}: field {field}: {problem['msg']} (got {problem['input']!r})."
