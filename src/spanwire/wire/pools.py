"""httpcore2's pools, with every connection watched. What waits is written twice here, and only here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import httpcore2

from . import streams
from .bounded import bind
from .connecting import Connecting, Line, WireRequest, connecting, retire_when_broken


class Backend(httpcore2.SyncBackend):
    """Connects as httpcore2 does, with the stop-watch running."""

    def connect_tcp(self, *arguments: Any, **named: Any) -> httpcore2.NetworkStream:
        return _timed(connecting.get(), super().connect_tcp, *arguments, **named)

    def connect_unix_socket(self, *arguments: Any, **named: Any) -> httpcore2.NetworkStream:
        return _timed(connecting.get(), super().connect_unix_socket, *arguments, **named)


def _timed(
    watch: Connecting, step: Callable[..., httpcore2.NetworkStream], *arguments: Any, **named: Any
) -> httpcore2.NetworkStream:
    watch.start()
    try:
        stream = step(*arguments, **named)
        bind(stream)
        watch.reached(stream, _timed)
    finally:
        watch.stop()
    return stream


class Pool(httpcore2.ConnectionPool):
    """A pool whose connections tell each request when it was given one, and what connecting took."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(network_backend=Backend(), **arguments)
        self._may_multiplex = arguments["http2"]

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.ConnectionInterface:
        connection = super().create_connection(origin)
        if self._may_multiplex:
            retire_when_broken(connection)
        _watch(connection, Line(connection, self._may_multiplex))
        return connection


def _watch(connection: httpcore2.ConnectionInterface, line: Line) -> None:
    send = connection.handle_request

    def reused(request: WireRequest) -> httpcore2.Response:
        request.assigned(line)
        return send(request)

    def first(request: WireRequest) -> httpcore2.Response:
        request.assigned(line)
        with Connecting(request, line) as watch:
            try:
                response = send(request)
            except BaseException as error:
                _close(watch.left_over())
                if watch.waited_in_vain(error):
                    raise httpcore2.ConnectionNotAvailable from error
                raise
        connection.handle_request = reused  # type: ignore[method-assign, assignment]
        return response

    connection.handle_request = first  # type: ignore[method-assign, assignment]


def _close(left: Any) -> None:
    if left is not None:
        with suppress(Exception):
            left.close()


# -- and awaited ------------------------------------------------------------------------------------------------------


class AsyncBackend(httpcore2.AnyIOBackend):
    """Connects as httpcore2 does, with the stop-watch running; anyio serves asyncio and trio alike."""

    async def connect_tcp(self, *arguments: Any, **named: Any) -> httpcore2.AsyncNetworkStream:
        return await _atimed(connecting.get(), streams.connect_tcp, *arguments, **named)

    async def connect_unix_socket(self, *arguments: Any, **named: Any) -> httpcore2.AsyncNetworkStream:
        return await _atimed(connecting.get(), streams.connect_unix_socket, *arguments, **named)


async def _atimed(
    watch: Connecting, step: Callable[..., Awaitable[httpcore2.AsyncNetworkStream]], *arguments: Any, **named: Any
) -> httpcore2.AsyncNetworkStream:
    watch.start()
    try:
        stream = await step(*arguments, **named)
        watch.reached(stream, _atimed)
    finally:
        watch.stop()
    return stream


class AsyncPool(httpcore2.AsyncConnectionPool):
    """A pool whose connections tell each request when it was given one, and what connecting took."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(network_backend=AsyncBackend(), **arguments)
        self._may_multiplex = arguments["http2"]

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        connection = super().create_connection(origin)
        if self._may_multiplex:
            retire_when_broken(connection)
        _awatch(connection, Line(connection, self._may_multiplex))
        return connection

    async def _close_connections(self, closing: list[httpcore2.AsyncConnectionInterface]) -> None:
        if closing:  # mostly there is none, and the shield around them would cost more than the rest of the pool's work
            await super()._close_connections(closing)


def _awatch(connection: httpcore2.AsyncConnectionInterface, line: Line) -> None:
    send = connection.handle_async_request

    # Not `async def`: it hands the coroutine on, and so adds no frame to every resumption.
    def reused(request: WireRequest) -> Awaitable[httpcore2.Response]:
        request.assigned(line)
        return send(request)

    async def first(request: WireRequest) -> httpcore2.Response:
        request.assigned(line)
        with Connecting(request, line) as watch:
            try:
                response = await send(request)
            except BaseException as error:
                await _aclose(watch.left_over())
                if watch.waited_in_vain(error):
                    raise httpcore2.ConnectionNotAvailable from error
                raise
        connection.handle_async_request = reused  # type: ignore[method-assign, assignment]
        return response

    connection.handle_async_request = first  # type: ignore[method-assign, assignment]


async def _aclose(left: Any) -> None:
    if left is not None:
        with anyio.CancelScope(shield=True), suppress(Exception):
            await left.aclose()
