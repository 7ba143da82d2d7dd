"""From data to a policy, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic

from ..config import Part, explain, path_of
from ..errors import ConfigurationError
from .environment import variables_of

P = TypeVar("P", bound=Part)


def built(model: type[P], data: Mapping[str, Any], source: str, prefix: str | None = None) -> P:
    """The model of some data, whole or not at all; `prefix` is that of the variables which the data came from."""
    try:
        return model.model_validate(dict(data))
    except pydantic.ValidationError as error:
        wrong = [] if prefix is None else variables_of([path_of(item["loc"], model) for item in error.errors()], prefix)
        where = f"{source} ({', '.join(wrong)})" if wrong else source
        raise ConfigurationError(explain(error, model, where)) from None
