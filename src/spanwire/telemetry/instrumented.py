"""The wire as opentelemetry-instrumentation-httpx sees it, for `attempt_spans="instrumentation"`.

The instrumentation patches `httpx.HTTPTransport.handle_request`. Each request therefore goes through that method, found
anew each time, on a stand-in whose pool is our wire.
"""

from __future__ import annotations

from types import SimpleNamespace, TracebackType
from typing import Any, Self

import httpx


class InstrumentationWarning(UserWarning):
    """A client is instrumented from outside, so that each of its requests has one span too many."""


def is_instrumented(client: Any) -> bool:
    """Whether `HTTPXClientInstrumentor.instrument_client` was given this client."""
    return bool(getattr(client, "_is_instrumented_by_opentelemetry", False))


def instrumented(wire: Any, asynchronous: bool) -> Any:
    """The wire, seen by what patches httpx's own transports; those themselves are seen already."""
    if isinstance(wire, httpx.AsyncHTTPTransport):
        return _AsyncLate(wire)
    if isinstance(wire, httpx.HTTPTransport):
        return wire
    return _AsyncSeen(wire) if asynchronous else _Seen(wire)


def _answer(response: httpx.Response) -> SimpleNamespace:
    """A response as httpx's own transport expects it of its pool."""
    return SimpleNamespace(
        status=response.status_code, headers=response.headers, stream=response.stream, extensions=response.extensions
    )


class _StandIn(httpx.HTTPTransport):
    def __init__(self, wire: httpx.BaseTransport, request: httpx.Request) -> None:
        self._pool: Any = SimpleNamespace(handle_request=lambda _: _answer(wire.handle_request(request)))


class _AsyncStandIn(httpx.AsyncHTTPTransport):
    def __init__(self, wire: httpx.AsyncBaseTransport, request: httpx.Request) -> None:
        async def handle(_: Any) -> SimpleNamespace:
            return _answer(await wire.handle_async_request(request))

        self._pool: Any = SimpleNamespace(handle_async_request=handle)


class _Seen(httpx.BaseTransport):
    def __init__(self, wire: httpx.BaseTransport) -> None:
        self._wire = wire

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return _StandIn(self._wire, request).handle_request(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    def __enter__(self) -> Self:
        self._wire.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._wire.__exit__(exc_type, exc_value, traceback)

    def close(self) -> None:
        self._wire.close()


class _AsyncSeen(httpx.AsyncBaseTransport):
    def __init__(self, wire: httpx.AsyncBaseTransport) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await _AsyncStandIn(self._wire, request).handle_async_request(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._wire.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        await self._wire.aclose()


class _AsyncLate(_AsyncSeen):
    """httpx's own, asked for its method each time: it may be patched after the client was made."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = await self._wire.handle_async_request(request)
        return response
