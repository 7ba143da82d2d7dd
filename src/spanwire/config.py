"""What every part of a policy is: a frozen pydantic model whose errors name the field, the value and the remedy."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable
from typing import Any

import pydantic

from .errors import ConfigurationError
from .redact import redacted_text

Mode = typing.Literal["enforce", "observe", "disabled"]
"""What a refusing policy does with its refusals: carry them out, only tell them, or nothing at all."""


class Part(pydantic.BaseModel):
    """One part of a `Policy`: frozen, strict about names; `ConfigurationError` on anything impossible."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except pydantic.ValidationError as error:
            raise ConfigurationError(explain(error, type(self))) from None

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """True and False are numbers to Python: `max_attempts: yes` in a file would mean 1."""
        wanted = cls.model_fields[info.field_name].annotation if info.field_name else None
        if isinstance(value, bool) and not _takes_bool(wanted):
            raise ValueError(f"{value} is a switch and no number: give the number itself")
        return value

    # As pydantic marks its own: a part inside a part is then validated in place, and an error names the whole path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


def _takes_bool(annotation: Any) -> bool:
    """Whether a field may be True or False, or is of no plain kind, so that its own validation must tell."""
    kinds = {annotation, *typing.get_args(annotation)}
    return bool in kinds or not kinds & {int, float}


def explain(error: pydantic.ValidationError, model: type[pydantic.BaseModel], source: str = "") -> str:
    """The message of a `ConfigurationError`: a line for each thing wrong, each with its field, value and remedy."""
    lines = [_line(item, model) for item in error.errors(include_url=False)]
    head = f"{model.__name__}{f' from {source}' if source else ''}"
    return f"{head}: {lines[0]}" if len(lines) == 1 else "\n".join([f"{head}: {len(lines)} mistakes", *lines])


def _line(item: Any, model: type[pydantic.BaseModel]) -> str:
    path = path_of(item["loc"], model)
    where = ".".join(path) or model.__name__
    if item["type"] == "extra_forbidden":
        return f"`{where}` is not a setting{_nearest(path, model)}"
    if item["type"] == "missing":
        return f"`{where}` is missing: give it"
    if item["type"] in ("value_error", "assertion_error"):
        return f"`{where}`: {item['msg'].removeprefix('Value error, ').removeprefix('Assertion failed, ')}"
    message = item["msg"][:1].lower() + item["msg"][1:]
    shown = "" if _SECRET.intersection(path) else f" = {_shown(item['input'])}"
    return f"`{where}`{shown} is impossible: {message.replace('input should', 'it should')}"


_SECRET = frozenset({"headers", "content", "json"})
"""Settings whose values may be credentials or a user's data, and are never shown."""


def _shown(value: object) -> str:
    """A value for a message; a mapping is shown by its keys only, since a nested value may be a secret."""
    if isinstance(value, dict):
        return f"{{{', '.join(map(str, value))}}}"
    text = redacted_text(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def path_of(loc: Iterable[object], model: type[pydantic.BaseModel]) -> list[str]:
    """The steps to a value as the user writes them: without the tags that pydantic puts in for members of a union."""
    path: list[str] = []
    for step in map(str, loc):
        models = _models_at(path, model)
        kinds = [inner.model_fields["kind"].default for inner in models if "kind" in inner.model_fields]
        if step not in kinds:
            path.append(step)
    return path


def _nearest(path: list[str], model: type[pydantic.BaseModel]) -> str:
    fields = sorted(_fields_at(path[:-1], model))
    near = difflib.get_close_matches(path[-1], fields, n=1)
    return f": did you mean `{near[0]}`?" if near else f": it should be one of {', '.join(fields)}" if fields else ""


def _fields_at(path: Iterable[str], model: type[pydantic.BaseModel]) -> set[str]:
    """The fields of the models that a path of field names leads to, as the user writes them."""
    return {field.alias or name for found in _models_at(path, model) for name, field in found.model_fields.items()}


def _models_at(path: Iterable[str], model: type[pydantic.BaseModel]) -> list[type[pydantic.BaseModel]]:
    """The models that a path leads to; a step that is no field, such as an index, leads nowhere else."""
    models = [model]
    for step in path:
        inner = [m.model_fields[step].annotation for m in models if step in m.model_fields]
        if inner:
            models = [found for annotation in inner for found in models_in(annotation)]
    return models


def models_in(annotation: object) -> list[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    return [found for inside in typing.get_args(annotation) for found in models_in(inside)]
