"""The contenders: one entry each, the same stack in sync and in async as its own documentation puts it together.

Every one makes the same call, `get(url)` with a small JSON answer, and none of them has anything to retry or refuse:
what is compared is the price of being ready to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from origin import BODY
from sdk import Sdk


@dataclass(frozen=True)
class Stage:
    """Where a contender plays: sync or async, on a mock or on the wire."""

    asynchronous: bool
    mock: bool

    def transport(self, module: Any = httpx) -> Any:
        """The innermost transport, of httpx or httpx2. The mock sends one header: the contrib pays by the header."""
        if self.mock:
            return module.MockTransport(lambda request: module.Response(200, content=BODY))
        return (module.AsyncHTTPTransport if self.asynchronous else module.HTTPTransport)(limits=limits(module))

    def client(self, module: Any = httpx, **arguments: Any) -> Any:
        """A client of httpx, httpx2 or spanwire over that transport."""
        return (module.AsyncClient if self.asynchronous else module.Client)(**arguments)


def limits(module: Any = httpx) -> Any:
    """httpx's own limits, but connections are kept for longer than any pause between two slices.

    With the default of five seconds a pool may shrink in a pause, and with 20 callers at once the cost of httpx's pool,
    which looks at every idle connection at every turn, then falls by a third to a half until it grows again.
    """
    return module.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=600)


@dataclass(frozen=True)
class Player:
    """A contender that has been opened: its call, how it ends, and the SDK that it tells."""

    get: Callable[[str], Any]
    close: Callable[[], Any]
    sdk: Sdk | None = None

    @classmethod
    def of(cls, client: Any, sdk: Sdk | None = None, get: Callable[[str], Any] | None = None) -> Player:
        """A player for any client with the interface of httpx."""
        return cls(get or client.get, getattr(client, "aclose", None) or client.close, sdk)


@dataclass(frozen=True)
class Contender:
    """One row: `spans` and `durations` are what each call must export, or the row is not what it says."""

    name: str
    what: str
    open: Callable[[Stage], Player]
    spans: int = 0
    durations: int = 0
    baseline: str = "bare httpx"


def bare(stage: Stage) -> Player:
    """Plain httpx."""
    return Player.of(stage.client(transport=stage.transport()))


def bare_defaults(stage: Stage) -> Player:
    """Plain httpx with nothing given, so that idle connections end after five seconds."""
    return Player.of(stage.client())


def bare_httpx2(stage: Stage) -> Player:
    """Plain httpx2."""
    import httpx2

    return Player.of(stage.client(httpx2, transport=stage.transport(httpx2)))


def bare_aiohttp(stage: Stage) -> Player:
    """Plain httpx over aiohttp's connections."""
    from httpx_aiohttp import AiohttpTransport

    return Player.of(httpx.AsyncClient(transport=AiohttpTransport(limits=limits())))


def contrib(make_sdk: Callable[[], Sdk | None]) -> Callable[[Stage], Player]:
    """Plain httpx with opentelemetry-instrumentation-httpx, stable conventions."""

    def open_it(stage: Stage) -> Player:
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

        client, sdk = stage.client(transport=stage.transport()), make_sdk()
        telemetry: Any = {"tracer_provider": sdk.tracer_provider, "meter_provider": sdk.meter_provider} if sdk else {}
        HTTPXClientInstrumentor.instrument_client(client, **telemetry)
        return Player.of(client, sdk)

    return open_it


def retries_and_interlock(stage: Stage) -> Player:
    """httpx-retries around interlock's breaker."""
    from httpx_retries import Retry, RetryTransport
    from interlock.integrations.httpx import AsyncCircuitBreakerTransport, CircuitBreakerTransport

    breaker = AsyncCircuitBreakerTransport if stage.asynchronous else CircuitBreakerTransport
    return Player.of(
        stage.client(transport=RetryTransport(breaker(stage.transport()), Retry(total=2, backoff_factor=0.05)))
    )


def nopanic(stage: Stage) -> Player:
    """compose(retry, breaker, bulkhead, timeout) around httpx; in sync without the timeout, a thread per call there."""
    from nopanic import bulkhead, circuit_breaker, compose, retry, timeout

    client = stage.client(transport=stage.transport())
    policies = [retry(3, on=httpx.TransportError), circuit_breaker(on=httpx.TransportError), bulkhead(100)]
    return Player.of(client, get=compose(*policies, *([timeout(10)] if stage.asynchronous else []))(client.get))


def httpware(stage: Stage) -> Player:
    """Breaker, timeout (async only), bulkhead and retry on httpx2, in the documented order."""
    import httpware as ware
    import httpx2

    if stage.asynchronous:
        breaker, bulkhead, retry = ware.AsyncCircuitBreaker(), ware.AsyncBulkhead(max_concurrent=100), ware.AsyncRetry()
        middleware: list[Any] = [breaker, ware.AsyncTimeout(timeout=30), bulkhead, retry]
    else:
        middleware = [ware.CircuitBreaker(), ware.Bulkhead(max_concurrent=100), ware.Retry()]
    return Player.of(stage.client(ware, middleware=middleware, transport=stage.transport(httpx2)))


def stamina(stage: Stage) -> Player:
    """stamina's decorator around httpx."""
    import stamina as library

    client = stage.client(transport=stage.transport())
    return Player.of(client, get=library.retry(on=httpx.TransportError, attempts=3)(client.get))


def spanwire(make_sdk: Callable[[], Sdk | None], wire: str | None = None) -> Callable[[Stage], Player]:
    """spanwire with the default policy: over the given mock, or over a wire of its own."""

    def open_it(stage: Stage) -> Player:
        import spanwire as library

        policy = library.Policy(connection=library.Connection(wire=wire)) if wire else library.Policy()
        below = {"transport": stage.transport()} if stage.mock else {"limits": limits()}
        sdk = make_sdk()
        client = stage.client(library, policy=policy, **below, **(sdk.providers if sdk else {}))
        return Player.of(client, sdk)

    return open_it


def no_sdk() -> None:
    """No providers: the API's own no-ops."""


def unsampled() -> Sdk:
    """Metrics on, no trace kept."""
    return Sdk(sampled=False)


HTTPX2 = "bare httpx2"
EVERYWHERE = (
    Contender("bare httpx", "the baseline", bare),
    Contender(HTTPX2, "the baseline of httpware", bare_httpx2, baseline=HTTPX2),
    Contender("contrib", "opentelemetry-instrumentation-httpx, sampled: the yardstick", contrib(Sdk), 1, 1),
    Contender("contrib unsampled", "the same, ratio 0, metrics on", contrib(unsampled), 0, 1),
    Contender("contrib no SDK", "the same over the API's no-ops", contrib(no_sdk)),
    Contender("httpx-retries + interlock", "retry around breaker", retries_and_interlock),
    Contender(
        "nopanic",
        "compose(retry, breaker, bulkhead, timeout); no timeout in sync, where it is a thread per call",
        nopanic,
    ),
    Contender("stamina", "retry", stamina),
    Contender(
        "httpware",
        "breaker, timeout, bulkhead, retry on httpx2; no timeout in sync, where it has none",
        httpware,
        baseline=HTTPX2,
    ),
    Contender("spanwire no SDK", "Policy(), no provider", spanwire(no_sdk)),
    Contender("spanwire unsampled", "Policy(), ratio 0, metrics on", spanwire(unsampled), 0, 1),
    Contender("spanwire sampled", "Policy(), a call span and an attempt span per call", spanwire(Sdk), 2, 1),
)
WIRES = (
    Contender(
        "bare httpx, defaults", "its idle connections end after 5 s, so its pool shrinks and grows", bare_defaults
    ),
    Contender("bare httpx on aiohttp", "httpx over httpx-aiohttp: the floor of that wire", bare_aiohttp),
    Contender("spanwire sampled, wire httpx", "the same on httpx's own pool", spanwire(Sdk, "httpx"), 2, 1),
    Contender("spanwire sampled, wire aiohttp", "the same on aiohttp's connections", spanwire(Sdk, "aiohttp"), 2, 1),
)
