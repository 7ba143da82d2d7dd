"""The pipeline as transports: the seam for clients that are not ours, and what ours put around every wire."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from .call import Call
from .engine import Engine, EngineArguments
from .errors import ConfigurationError
from .loading import Watch
from .policies import Policy
from .runtime.anyio import AsyncRuntime
from .runtime.protocol import Next
from .runtime.sync import SyncRuntime, run
from .wire import async_wire, sync_wire


class _Line:
    """What both colours of transport share: one wire below one engine, and the chain to it."""

    def __init__(self, engine: Engine, wire: Any, io: Any, owner: bool) -> None:
        self.engine = engine
        self.wire = wire
        self.io = io
        self._owner = owner
        self._generation: object = None
        self._chain: Any = None
        pool = getattr(wire, "connections", None)
        if callable(pool):
            engine.pools.append(pool)

    def way(self, call: Call) -> Next:
        """The chain for a call: the client's, or that of its override."""
        engine = self.engine
        if engine.watch is not None:
            engine.keep_watch(self.io)
        if call.override is not None:
            return engine.overridden(call.override, self.io)
        if self._generation is not engine.generation:
            self._generation, self._chain = engine.generation, engine.chain(self.io)
        chain: Next = self._chain
        return chain

    def ended(self) -> None:
        """The transport is closed."""
        if self._owner:
            self.engine.close()


def _check_colour(wire: object, method: str, remedy: str) -> None:
    if not callable(getattr(wire, method, None)):
        raise ConfigurationError(f"the transport {type(wire).__name__} has no `{method}`: {remedy}")


class Transport(httpx.BaseTransport):
    """The pipeline for an existing sync client: `httpx.Client(transport=spanwire.Transport(policy))`.

    Args:
        policy: a `Policy` (default `Policy()`), or `Policy.watch(path)`.
        wrapped: the transport that sends; by default spanwire's own, made from `policy.connection`.
        name: the client's name in telemetry.
        arguments: `interceptors`, `listeners`, `tracer_provider` and the others of `spanwire.Client`.

    Each request is a call of its own: redirects and auth flows of the client above it are not one call, as they are in
    `spanwire.Client`.
    """

    def __init__(
        self,
        policy: Policy | Watch[Policy] | None = None,
        wrapped: httpx.BaseTransport | None = None,
        *,
        name: str = "default",
        **arguments: Unpack[EngineArguments],
    ) -> None:
        engine = Engine(policy, name=name, **arguments)
        connection = engine.policy.connection
        wire = sync_wire(connection.wire, **connection.transport_arguments()) if wrapped is None else wrapped
        self._attach(engine, wire, owner=True)
        engine.begin()

    @classmethod
    def of(cls, engine: Engine, wire: httpx.BaseTransport) -> Self:
        """A further transport of a client's engine."""
        transport = cls.__new__(cls)
        transport._attach(engine, wire, owner=False)
        return transport

    def _attach(self, engine: Engine, wire: httpx.BaseTransport, owner: bool) -> None:
        _check_colour(wire, "handle_request", "a sync client needs one such as httpx.HTTPTransport")
        wire = engine.telemetry.wired(wire, asynchronous=False)
        self._io = SyncRuntime(wire, getattr(engine.kit.clock, "sleep", None))
        self._line = _Line(engine, wire, self._io, owner)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        line = self._line
        call, request, owned = line.engine.enter(request)
        try:
            response = run(line.way(call)(request))
        except BaseException as error:
            if owned:
                line.engine.failed(call, error)
            raise
        return line.engine.arrived(call, response, self._io, owned)

    def __enter__(self) -> Self:
        self._line.wire.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._io.shutdown()
        self._line.wire.__exit__(exc_type, exc_value, traceback)
        self._line.ended()

    def close(self) -> None:
        self._io.shutdown()
        self._line.wire.close()
        self._line.ended()

    def __repr__(self) -> str:
        return f"<spanwire.Transport {self._line.engine!r}>"


class AsyncTransport(httpx.AsyncBaseTransport):
    """The pipeline for an existing async client: `httpx.AsyncClient(transport=spanwire.AsyncTransport(policy))`.

    Arguments as for `Transport`; asyncio and trio.
    """

    def __init__(
        self,
        policy: Policy | Watch[Policy] | None = None,
        wrapped: httpx.AsyncBaseTransport | None = None,
        *,
        name: str = "default",
        **arguments: Unpack[EngineArguments],
    ) -> None:
        engine = Engine(policy, name=name, **arguments)
        connection = engine.policy.connection
        wire = async_wire(connection.wire, **connection.transport_arguments()) if wrapped is None else wrapped
        self._attach(engine, wire, owner=True)
        engine.begin()

    @classmethod
    def of(cls, engine: Engine, wire: httpx.AsyncBaseTransport) -> Self:
        """A further transport of a client's engine."""
        transport = cls.__new__(cls)
        transport._attach(engine, wire, owner=False)
        return transport

    def _attach(self, engine: Engine, wire: httpx.AsyncBaseTransport, owner: bool) -> None:
        _check_colour(wire, "handle_async_request", "an async client needs one such as httpx.AsyncHTTPTransport")
        wire = engine.telemetry.wired(wire, asynchronous=True)
        self._io = AsyncRuntime(wire, getattr(engine.kit.clock, "asleep", None))
        self._line = _Line(engine, wire, self._io, owner)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        line = self._line
        call, request, owned = line.engine.enter(request)
        try:
            response = await line.way(call)(request)
        except BaseException as error:
            if owned:
                line.engine.failed(call, error)
            raise
        return line.engine.arrived(call, response, self._io, owned)

    async def __aenter__(self) -> Self:
        await self._line.wire.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._io.shutdown()
        await self._line.wire.__aexit__(exc_type, exc_value, traceback)
        self._line.ended()

    async def aclose(self) -> None:
        self._io.shutdown()
        await self._line.wire.aclose()
        self._line.ended()

    def __repr__(self) -> str:
        return f"<spanwire.AsyncTransport {self._line.engine!r}>"
