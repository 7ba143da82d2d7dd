"""Policy files: YAML, TOML or JSON by their suffix, each as one mapping."""

from __future__ import annotations

import functools
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigurationError


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping that a YAML, TOML or JSON file holds."""
    return parsed(content(path), path)


def content(path: str | os.PathLike[str]) -> bytes:
    """What a file holds; its suffix is checked first."""
    _reader(path)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"'{path}' cannot be read ({error.strerror}): give the path of a policy file that can be"
        ) from None


def parsed(text: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping that the content of a file stands for."""
    try:
        found = _reader(path)(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"'{path}' is not UTF-8 at byte {error.start}: save it as UTF-8") from None
    except RecursionError:
        raise ConfigurationError(f"'{path}' is nested too deeply: a policy has three levels") from None
    except Malformed as error:
        raise ConfigurationError(f"'{path}'{error}") from None
    if found is None or found == {}:
        raise ConfigurationError(f"'{path}' is empty: name at least one part of a policy, such as `retry`")
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"'{path}' holds a {type(found).__name__}: "
            "it should hold a mapping of the parts of a policy, such as `retry`"
        )
    return found


class Malformed(Exception):
    """What is wrong with a text, and where."""

    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(f"{'' if line is None else f', line {line}'}: {problem}")


def _reader(path: str | os.PathLike[str]) -> Callable[[str], Any]:
    suffix = Path(path).suffix.lower()
    if suffix not in _READERS:
        raise ConfigurationError(f"'{path}' has the suffix '{suffix}': it should be one of {', '.join(_READERS)}")
    return _READERS[suffix]


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, _yaml_loader())  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Malformed(error.problem or "it is no YAML", None if mark is None else mark.line + 1) from None
    except ValueError as error:
        raise Malformed(f"a value in it cannot be read ({error}): put it in quotes if it is a text", None) from None
    except yaml.YAMLError as error:
        raise Malformed(f"it is no YAML ({type(error).__name__})", None) from None


@functools.cache
def _yaml_loader() -> Any:
    """A safe loader that refuses a key that stands twice, where YAML's own takes the last."""

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if key.value in seen:
                        raise yaml.constructor.ConstructorError(problem=_twice(key.value), problem_mark=key.start_mark)
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    return Loader


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem, _, place = str(error).partition(" (at ")
        line = place.removeprefix("line ").partition(",")[0]
        raise Malformed(problem[:1].lower() + problem[1:], int(line) if line.isdigit() else None) from None


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique) if text.strip() else None
    except json.JSONDecodeError as error:
        raise Malformed(error.msg[:1].lower() + error.msg[1:], error.lineno) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Malformed(_twice(key), None)
        found[key] = value
    return found


def _twice(key: str) -> str:
    return f"the key `{key}` stands twice: leave one of them out"


_READERS: Mapping[str, Callable[[str], Any]] = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": _json}
