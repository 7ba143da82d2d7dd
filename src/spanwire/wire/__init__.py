"""The wire: the transports below the policies. All take httpx's own arguments and raise httpx's exceptions.

`httpcore2`, the default, loses no slot of its pool; `httpx` is httpx's own transport; `aiohttp` costs the least CPU.
"""

from __future__ import annotations

import time
from typing import Unpack

import httpx

from ..errors import ConfigurationError
from .arguments import WireArguments
from .connecting import Clock
from .evidence import Attempt, provably_unsent
from .httpcore2 import AsyncHTTPCore2Transport, HTTPCore2Transport

__all__ = [
    "AsyncHTTPCore2Transport",
    "Attempt",
    "HTTPCore2Transport",
    "WireArguments",
    "async_wire",
    "provably_unsent",
    "sync_wire",
]


def sync_wire(
    name: str = "httpcore2", *, clock: Clock = time.perf_counter, **arguments: Unpack[WireArguments]
) -> httpx.BaseTransport:
    """The transport of a `Client` by its name, "httpcore2" or "httpx", from the arguments of `httpx.HTTPTransport`.

    `clock` times the evidence in seconds; httpx's own gives none. Raises `ConfigurationError` for another name.
    """
    match name:
        case "httpcore2":
            return HTTPCore2Transport(clock=clock, **arguments)
        case "httpx":
            return httpx.HTTPTransport(**arguments)
        case "aiohttp":
            raise ConfigurationError("wire: 'aiohttp' serves AsyncClient only; use wire='httpcore2' or an AsyncClient")
    raise _unknown(name)


def async_wire(
    name: str = "httpcore2", *, clock: Clock = time.perf_counter, **arguments: Unpack[WireArguments]
) -> httpx.AsyncBaseTransport:
    """The transport of an `AsyncClient` by its name: "httpcore2", "httpx" or "aiohttp", as in `sync_wire`.

    "aiohttp" needs the extra `spanwire[aiohttp]` and serves asyncio only.
    """
    match name:
        case "httpcore2":
            return AsyncHTTPCore2Transport(clock=clock, **arguments)
        case "httpx":
            return httpx.AsyncHTTPTransport(**arguments)
        case "aiohttp":
            return _aiohttp(clock, arguments)
    raise _unknown(name)


def _aiohttp(clock: Clock, arguments: WireArguments) -> httpx.AsyncBaseTransport:
    try:
        from .aiohttp import AiohttpTransport
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        message = "wire: 'aiohttp' needs the package aiohttp; pip install 'spanwire[aiohttp]', or use wire='httpcore2'"
        raise ConfigurationError(message) from None
    return AiohttpTransport(clock=clock, **arguments)


def _unknown(name: str) -> ConfigurationError:
    return ConfigurationError(f"wire: {name!r} is unknown; use 'httpcore2', 'httpx' or 'aiohttp'")
