"""What one request may ask for, through httpx's own `extensions=`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .call import OVERRIDE
from .errors import ConfigurationError


class Override:
    """What `override(...)` asks for: parts of the policy by name, and facts about the request."""

    __slots__ = ("idempotent", "parts", "raise_for_status", "route")

    def __init__(
        self, route: str | None, idempotent: bool | None, raise_for_status: bool | None, parts: Mapping[str, Any]
    ) -> None:
        self.route = route
        self.idempotent = idempotent
        self.raise_for_status = raise_for_status
        self.parts = parts


def override(
    *, route: str | None = None, idempotent: bool | None = None, raise_for_status: bool | None = None, **parts: Any
) -> dict[str, Any]:
    """Extensions that change the policy for one request: `client.get(url, extensions=override(retry=False))`.

    Args:
        route: the template of the URL, such as `/invoices/{id}`: it names spans and metrics, and keys what is kept by
            route.
        idempotent: True to allow repeating a method that is not idempotent by itself, False to forbid it.
        raise_for_status: whether an answer of 400 or more raises `httpx.HTTPStatusError`.
        parts: a part of the policy by its name: False or None switches it off, a part (or its settings as a dict)
            takes the place of the client's.

    Raises:
        ConfigurationError: if a name is not a part of the policy, or a part is impossible.
    """
    from .policies import Policy

    if route is not None and (not isinstance(route, str) or not route.isprintable() or not route):
        raise ConfigurationError(
            f"override: `route` = {route!r} is impossible: it should be a template such as '/invoices/{{id}}'"
        )
    for name, wish in (("idempotent", idempotent), ("raise_for_status", raise_for_status)):
        if wish is not None and not isinstance(wish, bool):
            raise ConfigurationError(f"override: `{name}` = {wish!r} is impossible: it should be True, False or None")
    for name in ("connection",):
        if name in parts:
            raise ConfigurationError(
                f"override: `{name}` belongs to the client and cannot change for one request: make another client"
            )
    # What is not given is off: it is the client's, and a warning that compares with the defaults would be wrong.
    given = {name: None if part is False else part for name, part in parts.items()}
    checked = Policy(**{"timeout": None, "circuit_breaker": None, **given})
    asked = Override(route, idempotent, raise_for_status, {name: getattr(checked, name) for name in parts})
    return {OVERRIDE: asked, **_phases(asked.parts.get("timeout"))}


def _phases(timeout: Any) -> dict[str, Any]:
    """httpx's own extension for the phases of a request, if the override names any; else the client's stay."""
    if timeout is None or timeout.model_fields_set.isdisjoint(timeout.phases()):
        return {}
    return {"timeout": timeout.phases()}
