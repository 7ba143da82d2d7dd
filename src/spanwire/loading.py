"""How a policy is read from files and from the environment, and a changed file is noticed.

Every mistake becomes a `ConfigurationError` that names the file or variable, the field, the value and the remedy. What
a file holds is never shown but for the value that is wrong: it may hold secrets.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticOmit, to_jsonable_python

from .config import Part, _models, _path, explain
from .errors import ConfigurationError

if TYPE_CHECKING:
    from .policies import Policy

P = TypeVar("P", bound=Part)
DELIMITER = "__"
OTHERS = frozenset({"LOG", "EVENTS", "SHOW_QUERY", "REQUIRE_COMPONENTS", "POLICY_FILE"})
"""Variables of spanwire's that are no settings of a policy."""


def built(model: type[P], data: Mapping[str, Any], source: str, prefix: str | None = None) -> P:
    """The model of some data, whole or not at all; `prefix` is that of the variables which the data came from."""
    try:
        return model.model_validate(dict(data))
    except pydantic.ValidationError as error:
        wrong = [] if prefix is None else _variables_of([_path(item["loc"], model) for item in error.errors()], prefix)
        where = f"{source} ({', '.join(wrong)})" if wrong else source
        raise ConfigurationError(explain(error, model, where)) from None


# -- files ---------------------------------------------------------------------------------------------------------


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
    except _SyntaxError as error:
        raise ConfigurationError(f"'{path}'{error}") from None
    if found is None or found == {}:
        raise ConfigurationError(f"'{path}' is empty: name at least one part of a policy, such as `retry`")
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"'{path}' holds a {type(found).__name__}: "
            "it should hold a mapping of the parts of a policy, such as `retry`"
        )
    return found


class _SyntaxError(Exception):
    """What is wrong with a text, and where."""

    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(f"{'' if line is None else f', line {line}'}: {problem}")


def _reader(path: str | os.PathLike[str]) -> Callable[[str], Any]:
    suffix = Path(path).suffix.lower()
    if suffix not in _READERS:
        raise ConfigurationError(f"'{path}' has the suffix '{suffix}': it should be one of {', '.join(_READERS)}")
    return _READERS[suffix]


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, _yaml_loader())  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _SyntaxError(error.problem or "it is no YAML", None if mark is None else mark.line + 1) from None
    except ValueError as error:
        raise _SyntaxError(f"a value in it cannot be read ({error}): put it in quotes if it is a text", None) from None
    except yaml.YAMLError as error:
        raise _SyntaxError(f"it is no YAML ({type(error).__name__})", None) from None


@functools.cache
def _yaml_loader() -> Any:
    """A safe loader that refuses a key that stands twice, where YAML's own takes the last."""
    import yaml

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
        raise _SyntaxError(problem[:1].lower() + problem[1:], int(line) if line.isdigit() else None) from None


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique) if text.strip() else None
    except json.JSONDecodeError as error:
        raise _SyntaxError(error.msg[:1].lower() + error.msg[1:], error.lineno) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _SyntaxError(_twice(key), None)
        found[key] = value
    return found


def _twice(key: str) -> str:
    return f"the key `{key}` stands twice: leave one of them out"


_READERS: Mapping[str, Callable[[str], Any]] = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": _json}


class Watch:
    """A policy file that is looked at again and again: clients accept it as `policy=`.

    `policy` is what is in force: the last that was possible. `error` is what is wrong with the file now, None if
    nothing. Clients that share one `Watch` compare `policy` with their own, since `poll` tells a change once.
    """

    def __init__(self, path: str | os.PathLike[str], interval: float = 5.0) -> None:
        if not 0 < interval < float("inf"):
            raise ConfigurationError(
                f"`interval` = {interval!r} is impossible: give the seconds between two looks at the file"
            )
        self.path = Path(path)
        self.interval = interval
        self.error: ConfigurationError | None = None
        self._seen: object = content(path)
        self.policy = self._loaded(self._seen)

    def poll(self) -> Policy | ConfigurationError | None:
        """Look at the file: the new policy if it has changed, what is wrong with it, or None if there is nothing new.

        The content counts and not the time of the last change, which copies and mounted volumes do not keep.
        """
        now = self._now()
        if now == self._seen:
            return None
        self._seen, before, self.error = now, self.error, None
        try:
            found = self._loaded(now)
        except ConfigurationError as error:
            self.error = error
            return error
        if found == self.policy and before is None:
            return None
        self.policy = found
        return found

    def _now(self) -> object:
        try:
            return content(self.path)
        except ConfigurationError as error:
            return str(error)

    def _loaded(self, now: object) -> Policy:
        from .policies import Policy

        if not isinstance(now, bytes):
            raise ConfigurationError(str(now))
        return built(Policy, parsed(now, self.path), f"'{self.path}'")

    def __repr__(self) -> str:
        return f"<Watch '{self.path}' policy {self.policy.hash}{', the file is impossible now' if self.error else ''}>"


# -- the environment -----------------------------------------------------------------------------------------------


def variables(prefix: str) -> list[str]:
    """The names of the environment variables under a prefix."""
    return [name for name in os.environ if name.upper().startswith(prefix.upper())]


def environment(model: type[Part], prefix: str) -> dict[str, Any]:
    """What the variables under a prefix say of a model, nested where their names are."""
    from pydantic_settings import BaseSettings, EnvSettingsSource

    class Source(EnvSettingsSource):
        def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
            return _decoded(field_name, field, value)

    _check_names(model, prefix)
    _check_contradictions(model, prefix)
    fields: Any = {name: (field.annotation, None) for name, field in model.model_fields.items()}
    settings = pydantic.create_model("Settings", __base__=BaseSettings, **fields)
    source = Source(
        settings, env_prefix=prefix, env_nested_delimiter=DELIMITER, env_ignore_empty=True, env_parse_none_str="null"
    )
    try:
        return source()
    except _SyntaxError as error:
        raise ConfigurationError(f"the environment ({prefix}...){error}: write it as JSON") from None


def _decoded(name: str, field: Any, value: str) -> Any:
    """The data that a variable holds: JSON, a list separated by commas, or a word that a part knows, such as "off"."""
    if value.lstrip().startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError as error:  # not passed on: pydantic-settings would take the text as it is
            raise _SyntaxError(f"the value of `{name}` is no JSON ({error})", None) from None
    is_part = field is not None and _models(field.annotation)
    return value if is_part else [piece.strip() for piece in value.split(",")]


def _check_contradictions(model: type[Part], prefix: str) -> None:
    """Refuse a part that is switched by one variable and set by others: one of them would be ignored."""
    names = {name.upper(): name for name in variables(prefix)}
    for field in model.model_fields:
        part = (prefix + field).upper()
        value = os.environ.get(names.get(part, ""), "").strip()
        inside = sorted(name for name in names if name.startswith(part + DELIMITER))
        if inside and value and not value.startswith("{"):
            raise ConfigurationError(f"`{part}` contradicts `{inside[0]}`: leave one of them out")


def _check_names(model: type[Part], prefix: str) -> None:
    """Refuse variables that look like a setting and are of no part: a misspelt limit would silently be the default."""
    known = [prefix.upper() + DELIMITER.join(path).upper() for path in _paths(model)]
    for name in variables(prefix):
        rest = name[len(prefix) :].upper()
        if rest in OTHERS or rest.partition(DELIMITER)[0].lower() in model.model_fields:
            continue
        near = _nearest(name.upper(), known)
        if near or DELIMITER in rest:
            remedy = f"did you mean `{near}`?" if near else f"the parts of a policy are {', '.join(model.model_fields)}"
            raise ConfigurationError(f"`{name}` is not a setting: {remedy}")


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """The setting that a name was probably meant for: one underscore for two, or a slip of the pen."""
    squeezed = {found.replace(DELIMITER, "_"): found for found in known}
    near = difflib.get_close_matches(name.replace(DELIMITER, "_"), squeezed, n=1, cutoff=0.85)
    return squeezed[near[0]] if near else None


def _paths(model: type[pydantic.BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every setting, of parts and of what is in them."""
    for name, field in model.model_fields.items():
        path = (*above, field.alias or name)
        yield path
        for inner in _models(field.annotation):
            yield from _paths(inner, path)


def _variables_of(paths: Iterable[list[str]], prefix: str) -> list[str]:
    """The variables that values came from: for each path those that go along it, or further, longest."""
    names = {name[len(prefix) :].upper() + DELIMITER: name for name in variables(prefix)}
    found: set[str] = set()
    for path in paths:
        steps = [DELIMITER.join(path[:length]).upper() + DELIMITER for length in range(len(path), 0, -1)]
        along = ({name for rest, name in names.items() if rest.startswith(step)} for step in steps)
        found |= next(filter(None, along), set())
    return sorted(found)


# -- the schema ----------------------------------------------------------------------------------------------------


class _FileSchema(GenerateJsonSchema):
    """The schema of what a file can say: functions are left out, error classes have their names."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Part):  # its own defaults stand where it is described
            return dft.model_dump(mode="json", exclude_defaults=True)
        return to_jsonable_python(dft, fallback=lambda error: error.__name__)

    def callable_schema(self, schema: Any) -> Any:
        raise PydanticOmit

    def tagged_union_schema(self, schema: Any) -> Any:
        """Any and not one of them, since a file need not say the tag."""
        found = super().tagged_union_schema(schema)
        found.pop("discriminator", None)
        found["anyOf"] = found.pop("oneOf")
        return found


def json_schema(model: type[Part]) -> dict[str, Any]:
    """The JSON schema of a file with the parts of a model, each of which may also be switched by a word."""
    schema = model.model_json_schema(schema_generator=_FileSchema)
    for found in schema["properties"].values():
        if {"type": "null"} in found.get("anyOf", ()):
            found["anyOf"].append({"enum": [True, False, "on", "off"]})
    return schema
