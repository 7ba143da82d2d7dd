"""What environment variables say of a policy, and which of them are misspelt."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import pydantic

from ..config import Part, models_in
from ..errors import ConfigurationError
from .files import Malformed

DELIMITER = "__"
OTHERS = frozenset({"LOG", "EVENTS", "SHOW_QUERY", "REQUIRE_COMPONENTS", "POLICY_FILE"})
"""Variables of spanwire's that are no settings of a policy."""


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
    except Malformed as error:
        raise ConfigurationError(f"the environment ({prefix}...){error}: write it as JSON") from None


def _decoded(name: str, field: Any, value: str) -> Any:
    """The data that a variable holds: JSON, a list separated by commas, or a word that a part knows, such as "off"."""
    if value.lstrip().startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError as error:  # not passed on: pydantic-settings would take the text as it is
            raise Malformed(f"the value of `{name}` is no JSON ({error})", None) from None
    is_part = field is not None and models_in(field.annotation)
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
        for inner in models_in(field.annotation):
            yield from _paths(inner, path)


def variables_of(paths: Iterable[list[str]], prefix: str) -> list[str]:
    """The variables that values came from: for each path those that go along it, or further, longest."""
    names = {name[len(prefix) :].upper() + DELIMITER: name for name in variables(prefix)}
    found: set[str] = set()
    for path in paths:
        steps = [DELIMITER.join(path[:length]).upper() + DELIMITER for length in range(len(path), 0, -1)]
        along = ({name for rest, name in names.items() if rest.startswith(step)} for step in steps)
        found |= next(filter(None, along), set())
    return sorted(found)
