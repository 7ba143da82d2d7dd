"""The session of the aiohttp wire: how it is made, the slots that bound it, and what it tells of connecting."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextvars import ContextVar
from typing import Any, Self

import aiohttp
import httpx

from ..call import ATTEMPT
from ..errors import ConfigurationError
from .arguments import DEFAULT_LIMITS, WireArguments, as_proxy
from .connecting import Clock
from .evidence import Attempt


def refuse(arguments: WireArguments) -> None:
    """Raise a `ConfigurationError` for what aiohttp cannot do."""
    proxy = as_proxy(arguments.get("proxy"))
    asked = {
        "HTTP/2": arguments.get("http2", False) or not arguments.get("http1", True),
        "connect retries": arguments.get("retries", 0) > 0,
        "SOCKS proxies": proxy is not None and proxy.url.scheme.startswith("socks"),
    }
    for what in (what for what, wanted in asked.items() if wanted):
        raise ConfigurationError(f"wire: 'aiohttp' has no {what}; use wire='httpcore2', or do without")


def session(arguments: WireArguments, tls: ssl.SSLContext, **more: Any) -> aiohttp.ClientSession:
    """A session that does what httpx has decided and nothing of its own: no cookies, no headers, no decoding."""
    return aiohttp.ClientSession(
        connector=_connector(arguments, tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        auto_decompress=False,
        max_line_size=1 << 16,
        max_field_size=1 << 16,
        **more,
    )


def _connector(arguments: WireArguments, tls: ssl.SSLContext) -> aiohttp.BaseConnector:
    """A connector without a limit: the transport's slots bound it, whose waiting can be timed and timed out."""
    expiry = arguments.get("limits", DEFAULT_LIMITS).keepalive_expiry
    path, local = arguments.get("uds"), arguments.get("local_address")
    if path is not None:
        return _UnixConnector(path, keepalive_timeout=expiry, limit=0)
    return _TCPConnector(
        keepalive_timeout=expiry,
        limit=0,
        ssl=tls,
        local_addr=None if local is None else (local, 0),
        socket_factory=_socket_factory(arguments),
    )


def _socket_factory(arguments: WireArguments) -> Any:
    wanted = list(arguments.get("socket_options") or ())

    def make(address: Any) -> socket.socket:
        made = socket.socket(*address[:3])
        for option in wanted:
            made.setsockopt(*option)
        return made

    return make if wanted else None


# -- the slots and the evidence ---------------------------------------------------------------------------------------


class Slots:
    """As many requests at once as the pool may have connections; None for no limit."""

    def __init__(self, limit: int | None) -> None:
        self._free = None if limit is None else asyncio.Semaphore(limit)
        self.taken = 0

    def full(self) -> bool:
        """Whether the next one has to wait."""
        return self._free is not None and self._free.locked()

    async def acquire(self) -> None:
        """Take a slot, waiting for it if none is free."""
        if self._free is not None:
            await self._free.acquire()
        self.taken += 1

    def release(self) -> None:
        """Give a slot back, to the one who waits longest."""
        self.taken -= 1
        if self._free is not None:
            self._free.release()


class Sending:
    """One request under way, where the connector finds it and writes its evidence."""

    __slots__ = ("_token", "attempt", "clock", "pool_timeout")

    def __init__(self, request: httpx.Request, clock: Clock) -> None:
        self.attempt: Attempt | None = request.extensions.get(ATTEMPT)
        self.clock = clock
        self.pool_timeout: float | None = request.extensions.get("timeout", {}).get("pool")

    def __enter__(self) -> Self:
        self._token = _sending.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _sending.reset(self._token)

    async def slot(self, slots: Slots) -> None:
        """Wait for a slot, no longer than the pool timeout."""
        if not slots.full():
            return await slots.acquire()
        since = self.clock()
        try:
            async with asyncio.timeout(self.pool_timeout):
                await slots.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout(str(error)) from error
        finally:
            if self.attempt is not None:
                self.attempt.pool_wait = self.clock() - since


_sending: ContextVar[Sending] = ContextVar("spanwire.wire.sending")


class _Connector(aiohttp.BaseConnector):
    """Tells the request under way whom it has reached, and what a new connection took."""

    async def connect(self, *arguments: Any, **named: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*arguments, **named)
        attempt, transport = _sending.get().attempt, connection.transport
        if attempt is not None and transport is not None:
            address = transport.get_extra_info("peername")
            attempt.peer = (address[0], address[1]) if isinstance(address, tuple) else None
        return connection

    async def _create_connection(self, *arguments: Any, **named: Any) -> Any:
        attempt, clock = _sending.get().attempt, _sending.get().clock
        if attempt is None:
            return await super()._create_connection(*arguments, **named)
        since = clock()
        try:
            return await super()._create_connection(*arguments, **named)
        finally:
            attempt.connect = clock() - since


class _TCPConnector(_Connector, aiohttp.TCPConnector):
    """Over TCP."""


class _UnixConnector(_Connector, aiohttp.UnixConnector):
    """Over a Unix socket."""
