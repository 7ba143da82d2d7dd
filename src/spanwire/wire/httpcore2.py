"""The default wire: httpx transports over httpcore2 pools, which lose no slot where httpx's own pool does."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Unpack

import httpcore2
import httpx

from ..call import LEFT
from .arguments import WireArguments, pool_arguments
from .bounded import Bounded, until
from .connecting import Clock, WireRequest
from .exceptions import HTTPCORE2, reraise
from .fork import renew_after_fork
from .pools import AsyncPool, Pool

_UNLIMITED = (None, None)


class HTTPCore2Transport(httpx.BaseTransport):
    """A transport over an httpcore2 pool, made from the arguments of `httpx.HTTPTransport`, raising httpx's exceptions.

    It writes its evidence on `request.extensions["spanwire.attempt"]`, if there is one, in seconds of `clock`. A forked
    child gets a pool of its own.
    """

    quiet = True
    """No instrumentation sees what goes over it."""

    def __init__(self, *, clock: Clock = time.perf_counter, **arguments: Unpack[WireArguments]) -> None:
        self._clock = clock
        self._arguments = pool_arguments(arguments)
        self._pool = Pool(**self._arguments)
        renew_after_fork(self)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's slot is given back when the response is closed."""
        sent = WireRequest(request, self._clock)
        answer, body = map(until, request.extensions.pop(LEFT, _UNLIMITED))
        try:
            with Bounded(answer):
                response = self._pool.handle_request(sent)
        except BaseException as error:
            sent.failed(error)
            reraise(error, HTTPCORE2)
        return _response(response, ResponseStream(response.stream, body))

    def connections(self) -> tuple[int, int]:
        """How many connections of the pool are at work, being made included, and how many are idle. Never raises."""
        return _count(self._pool)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def renew(self) -> None:
        """Start a fresh pool, and drop this process's copies of the old one's descriptors.

        Nothing is said on the old sockets: closing one here is no shutdown, for the parent still holds it.
        """
        inherited, self._pool = self._pool, Pool(**self._arguments)
        for connection in inherited.connections:  # not `close()`: a thread left in the parent may hold the pool's lock
            connection.close()


class AsyncHTTPCore2Transport(httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`, on asyncio and on trio."""

    quiet = True
    """No instrumentation sees what goes over it."""

    def __init__(self, *, clock: Clock = time.perf_counter, **arguments: Unpack[WireArguments]) -> None:
        self._clock = clock
        self._arguments = pool_arguments(arguments)
        self._pool = AsyncPool(**self._arguments)
        renew_after_fork(self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's slot is given back when the response is closed."""
        sent = WireRequest(request, self._clock)
        try:
            response = await self._pool.handle_async_request(sent)
        except BaseException as error:
            sent.failed(error)
            reraise(error, HTTPCORE2)
        return _response(response, AsyncResponseStream(response.stream))

    def connections(self) -> tuple[int, int]:
        """How many connections of the pool are at work, being made included, and how many are idle. Never raises."""
        return _count(self._pool)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def renew(self) -> None:
        """Start a fresh pool, and keep the old one, unused: its connections belong to the parent's event loop.

        If it were let go, a loop might take the sockets out of the selector that both processes share.
        """
        _inherited.append(self._pool)
        self._pool = AsyncPool(**self._arguments)


_inherited: list[AsyncPool] = []


class ResponseStream(httpx.SyncByteStream):
    """A body, read and closed through the pool; errors on the way are httpx's."""

    def __init__(self, stream: Any, until: float | None = None) -> None:
        self._stream = stream
        self._until = until

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._stream)
        try:
            while True:
                with Bounded(self._until):
                    chunk = next(chunks, None)
                if chunk is None:
                    return
                yield chunk
        except Exception as error:
            reraise(error, HTTPCORE2)
        finally:
            chunks.close()

    def close(self) -> None:
        self._stream.close()


class AsyncResponseStream(httpx.AsyncByteStream):
    """The same, awaited. A class and not an async generator, which would want its event loop to be finalised."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._chunks: Any = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = aiter(self._stream)
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk: bytes = await anext(self._chunks)
        except StopAsyncIteration:
            self._chunks = None
            raise
        except Exception as error:
            reraise(error, HTTPCORE2)
        return chunk

    async def aclose(self) -> None:
        try:
            # httpcore2's generators want to be closed by whoever stops early, unless another task is reading.
            if self._chunks is not None and not self._chunks.ag_running:
                await self._chunks.aclose()
        finally:
            await self._release()

    async def _release(self) -> None:
        try:
            await self._stream.aclose()
        except BaseException:
            # asyncio's own cancellation breaks through anyio's shields. The connection is closed by then; closing again
            # does what httpcore2 has left undone, forgetting the request, unless it had come to that already.
            self._stream._closed = False
            with suppress(ValueError):
                await self._stream.aclose()
            raise


def _response(response: httpcore2.Response, stream: Any) -> httpx.Response:
    return httpx.Response(response.status, headers=response.headers, stream=stream, extensions=response.extensions)


def _count(pool: Pool | AsyncPool) -> tuple[int, int]:
    idle = [connection.is_idle() for connection in pool.connections if not connection.is_closed()]
    return idle.count(False), idle.count(True)
