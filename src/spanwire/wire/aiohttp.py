"""The cheapest wire: an httpx transport over aiohttp, for `AsyncClient` on asyncio. HTTP/1.1 only.

aiohttp is driven directly and not through httpx-aiohttp, which normalises URLs (and so breaks signed ones), keeps a
second cookie jar, bounds connecting by the pool's timeout, and says ConnectTimeout for a server that has hung up.
"""

from __future__ import annotations

import time
from typing import Any, NoReturn, Unpack

import aiohttp
import httpx
from aiohttp.http import HttpProcessingError

from .aiohttp_request import options
from .aiohttp_session import Sending, Slots, refuse, session
from .arguments import DEFAULT_LIMITS, WireArguments, as_proxy, ssl_context
from .connecting import Clock
from .exceptions import Table, reraise
from .fork import renew_after_fork

EXCEPTIONS: Table = {
    aiohttp.ClientConnectorError: httpx.ConnectError,
    aiohttp.ServerFingerprintMismatch: httpx.ConnectError,
    aiohttp.ConnectionTimeoutError: httpx.ConnectTimeout,
    aiohttp.ServerTimeoutError: httpx.ReadTimeout,
    aiohttp.ClientHttpProxyError: httpx.ProxyError,
    aiohttp.InvalidURL: httpx.UnsupportedProtocol,
    aiohttp.NonHttpUrlClientError: httpx.UnsupportedProtocol,
    # From here on the request may have been sent: aiohttp does not tell what it was doing when the connection broke.
    aiohttp.ServerDisconnectedError: httpx.RemoteProtocolError,
    aiohttp.ClientResponseError: httpx.RemoteProtocolError,
    aiohttp.ClientPayloadError: httpx.RemoteProtocolError,
    HttpProcessingError: httpx.RemoteProtocolError,
    aiohttp.ClientConnectionError: httpx.ReadError,
    aiohttp.ClientError: httpx.NetworkError,
    TimeoutError: httpx.ReadTimeout,
    OSError: httpx.ReadError,
}


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A transport over an aiohttp session, made from the arguments of `httpx.AsyncHTTPTransport`, with its exceptions.

    What aiohttp cannot do is refused with a `ConfigurationError`, but for two things: a write has no timeout, and
    `max_keepalive_connections` is not kept. The `connect` timeout spans the whole connecting, TLS included.
    """

    def __init__(self, *, clock: Clock = time.perf_counter, **arguments: Unpack[WireArguments]) -> None:
        refuse(arguments)
        self._clock = clock
        self._arguments = arguments
        self._ssl = ssl_context(arguments)
        self._proxy = as_proxy(arguments.get("proxy"))
        self._session: aiohttp.ClientSession | None = None
        self._slots = self._all_slots()
        renew_after_fork(self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's slot is given back when the response is closed."""
        with Sending(request, self._clock) as sending:
            await sending.slot(self._slots)
            try:
                response = await self._send(request)
                return _response(response, ResponseStream(response, self._slots))
            except BaseException as error:
                self._slots.release()
                _reraise(error)

    async def _send(self, request: httpx.Request) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = session(self._arguments, self._ssl, middlewares=(_once,))
        return await self._session.request(**options(request, self._proxy))

    def connections(self) -> tuple[int, int]:
        """How many connections are at work, being made included, and how many are idle. Never raises."""
        connector: Any = None if self._session is None else self._session.connector
        idle = getattr(connector, "_conns", {})  # aiohttp has no public count of them
        return self._slots.taken, sum(map(len, idle.values()))

    async def aclose(self) -> None:
        """Close all connections."""
        closing, self._session = self._session, None
        if closing is not None:
            await closing.close()

    def renew(self) -> None:
        """Start afresh; an old session is kept, unused, because its connections belong to the parent's event loop."""
        if self._session is not None:
            _inherited.append(self._session)
        self._session = None
        self._slots = self._all_slots()

    def _all_slots(self) -> Slots:
        return Slots(self._arguments.get("limits", DEFAULT_LIMITS).max_connections)


_inherited: list[aiohttp.ClientSession] = []


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Let errors out as httpx's: those of its own aiohttp would answer by sending again, unseen."""
    try:
        return await handler(request)
    except Exception as error:
        _reraise(error)


def _reraise(error: BaseException) -> NoReturn:
    cause = error.__cause__
    if type(error) is aiohttp.ClientConnectionError and not isinstance(cause, OSError | aiohttp.ClientError | None):
        raise cause  # what the caller's own request body has raised
    reraise(error, EXCEPTIONS)


class ResponseStream(httpx.AsyncByteStream):
    """A body, as aiohttp receives it; closing it before its end closes the connection."""

    def __init__(self, response: aiohttp.ClientResponse, slots: Slots) -> None:
        self._response, self._slots = response, slots
        self._closed = False

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._response.content.readany()
        except Exception as error:
            _reraise(error)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._response.release()  # does not wait, so that nothing can come between it and the slot
            self._slots.release()


def _response(response: aiohttp.ClientResponse, stream: ResponseStream) -> httpx.Response:
    extensions: dict[str, Any] = {"http_version": b"HTTP/1.0" if response.version == (1, 0) else b"HTTP/1.1"}
    if response.reason:
        extensions["reason_phrase"] = response.reason.encode("utf-8", "surrogateescape")  # the bytes as they came
    return httpx.Response(response.status, headers=response.raw_headers, stream=stream, extensions=extensions)
