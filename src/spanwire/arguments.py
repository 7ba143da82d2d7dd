"""httpx's own constructor arguments, and what the policy supplies where they are not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import httpx

from ._version import __version__
from .engine import EngineArguments
from .policies import Policy

USER_AGENT = f"spanwire/{__version__}"


class HTTPXArguments(TypedDict, total=False):
    """Every argument of `httpx.Client` and `httpx.AsyncClient`; `mounts` and `transport` in the client's colour."""

    auth: Any
    params: Any
    headers: Any
    cookies: Any
    verify: Any
    cert: Any
    trust_env: bool
    http1: bool
    http2: bool
    proxy: Any
    mounts: Mapping[str, Any] | None
    timeout: Any
    follow_redirects: bool
    limits: httpx.Limits
    max_redirects: int
    event_hooks: Any
    base_url: httpx.URL | str
    transport: Any
    default_encoding: Any


class ClientArguments(EngineArguments, HTTPXArguments, total=False):
    """Every argument of a client but its name and policy."""

    raise_for_status: bool


def parted(given: ClientArguments) -> tuple[EngineArguments, HTTPXArguments]:
    """The arguments of the engine, and those of httpx with whatever is unknown, which httpx refuses by its name."""
    ours: Any = {name: value for name, value in given.items() if name in EngineArguments.__annotations__}
    theirs: Any = {name: value for name, value in given.items() if name not in ours and name != "raise_for_status"}
    return ours, theirs


def completed(given: HTTPXArguments, policy: Policy) -> dict[str, Any]:
    """The arguments for httpx: those given, else the policy's, else httpx's own defaults."""
    supplied = dict(policy.connection.client_arguments())
    if policy.timeout is not None:
        supplied["timeout"] = httpx.Timeout(**policy.timeout.phases())
    return supplied | dict(given)


def name_of(given: HTTPXArguments) -> str:
    """The name of a client that was given none: the host of its base URL, else `default`."""
    return httpx.URL(given.get("base_url", "")).host or "default"


def user_agent(given: HTTPXArguments, headers: httpx.Headers) -> None:
    """Introduce ourselves, unless the caller chose a name."""
    if "user-agent" not in httpx.Headers(given.get("headers")):
        headers["User-Agent"] = USER_AGENT
