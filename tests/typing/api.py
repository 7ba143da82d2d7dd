"""The public API as a typed program uses it: mypy and pyright read this file in their strict modes, nothing runs it.

`assert_type` holds what a name gives. In `mistakes`, each ignore stands for an error that the types must catch: both
checkers complain of an ignore without one.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, assert_type

import httpx

import spanwire
from spanwire import (
    AsyncClient,
    AsyncTransport,
    Attempt,
    Attribute,
    Call,
    CircuitBreaker,
    Client,
    Connection,
    Context,
    Custom,
    Decision,
    DecorrelatedJitter,
    Exponential,
    Fallback,
    FallbackResponse,
    Fibonacci,
    Fixed,
    Kit,
    Layer,
    Linear,
    Listener,
    LoggingInterceptor,
    Next,
    Outcome,
    Policy,
    Report,
    Retry,
    RetryBudget,
    Runtime,
    Severity,
    Timeout,
    Transport,
    telemetry,
)
from spanwire.testing import Answer, FakeClock, FaultyOrigin, Recorder, Seen, SpanwireTelemetry, VirtualTime

LOG = logging.getLogger("acme")

# -- policies ---------------------------------------------------------------------------------------------------------


def worth_it(outcome: Outcome) -> bool:
    assert_type(outcome.request, httpx.Request)
    assert_type(outcome.response, httpx.Response | None)
    assert_type(outcome.error, Exception | None)
    assert_type(outcome.attempt, int)
    return outcome.failed


async def tell(attempt: int, outcome: Outcome, delay: float) -> None:
    LOG.info("attempt %d ended with %s, the next follows in %.1f s", attempt, outcome.name, delay)


def stale(request: httpx.Request, outcome: Outcome) -> httpx.Response:
    return httpx.Response(200, text=outcome.name, request=request)


BACKOFFS = [
    Exponential(base=0.1, factor=3, cap=5, jitter="equal"),
    Linear(base=0.1),
    Fibonacci(jitter="none"),
    DecorrelatedJitter(base=0.05, cap=2),
    Fixed(seconds=1),
    Custom(function=lambda attempt: attempt**2.0),
]
WHOLE = Policy(
    timeout=Timeout(total=20, attempt=5, connect=2, read=5, write=5, pool=1),
    retry=Retry(
        max_attempts=4,
        backoff=Exponential(),
        should_retry=worth_it,
        on_retry=tell,
        budget=RetryBudget(capacity=100),
        generate_idempotency_key=True,
    ),
    circuit_breaker=CircuitBreaker(failure_ratio=0.3, min_calls=10, scope="route", mode="observe"),
    fallback=Fallback(function=stale),
    connection=Connection(max_connections=50, wire="aiohttp"),
)
NONE_OF_IT = Policy(timeout=None, retry=None, circuit_breaker=None)
SERVED = Fallback(response=FallbackResponse(status=200, headers={"x-stale": "1"}, content=b"[]"))
assert_type(WHOLE.retry, Retry | None)
assert_type(WHOLE.hash, str)


def sources(path: Path, data: Mapping[str, object]) -> list[Policy]:
    assert_type(Policy.json_schema(), dict[str, Any])
    return [Policy.from_file(path), Policy.from_dict(data), Policy.from_env(prefix="BILLING_"), Policy.production()]


# -- clients ----------------------------------------------------------------------------------------------------------


class SDK:
    """Takes an httpx client, as many do."""

    def __init__(self, http_client: httpx.Client) -> None:
        self.http_client = http_client


def in_sync(path: Path) -> str:
    with Client(name="billing", base_url="https://billing.internal", policy=WHOLE, raise_for_status=True) as client:
        assert_type(client, Client)
        assert_type(client.name, str)
        assert_type(client.policy, Policy)
        assert_type(client.metrics(), dict[str, Any])
        SDK(http_client=client)
        response = client.get("/invoices/42", extensions=spanwire.override(route="/invoices/{id}", retry=False))
        assert_type(response, httpx.Response)
        with client.stream("GET", "/export", follow_redirects=True) as streamed:
            size = sum(len(piece) for piece in streamed.iter_bytes())
        client.reload(WHOLE.model_copy(update={"retry": None}))
        breaker = client.circuit_breakers["https://billing.internal"]
        breaker.force_open()
        assert_type(breaker.retry_after, float | None)
        states = {name: str(known.state) for name, known in client.circuit_breakers.items()}
    Client(policy=Policy.watch(path), timeout=5, verify=False, http2=True, headers={"a": "b"}).close()
    return f"{response.text} {size} {states}"


async def in_async() -> bytes:
    async with AsyncClient(policy=WHOLE, transport=httpx.AsyncHTTPTransport(retries=1)) as client:
        assert_type(client, AsyncClient)
        response = await client.post("https://a.test/", json={"n": 1}, extensions=spanwire.override(idempotent=True))
        assert_type(response, httpx.Response)
        async with client.stream("GET", "https://a.test/") as streamed:
            return b"".join([piece async for piece in streamed.aiter_raw()])


def transports() -> tuple[httpx.Client, httpx.AsyncClient]:
    return (
        httpx.Client(transport=Transport(WHOLE, httpx.HTTPTransport(), name="billing")),
        httpx.AsyncClient(transport=AsyncTransport(WHOLE)),
    )


def mistakes() -> None:
    Client(policy="policy.yaml")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Client(retries=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Policy(retries=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    spanwire.override(route=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Transport(WHOLE, httpx.AsyncHTTPTransport())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


# -- what a call tells ------------------------------------------------------------------------------------------------


def told(response: httpx.Response) -> str:
    report = spanwire.report(response)
    assert_type(report, Report)
    assert_type(report.outcome, str | None)
    assert_type(report.attempts, Sequence[Attempt])
    assert_type(report.decisions, Sequence[Decision])
    assert_type(report.phases, Mapping[str, float])
    assert_type(report.as_dict(), dict[str, Any])
    return f"{report} {report.duration:.3f} {report.trace_id}"


def failed(client: Client) -> float | None:
    try:
        client.get("https://a.test/")
    except spanwire.CircuitOpen as error:
        return assert_type(error.retry_after, float | None)
    except spanwire.DeadlineExceeded as error:
        assert_type(error.request, httpx.Request)
        return assert_type(error.total, float)
    except spanwire.RetryExhausted as error:
        assert_type(error.response, httpx.Response | None)
        assert_type(error.report, Report | None)
    except (spanwire.Rejected, httpx.TransportError) as error:
        return len(spanwire.report(error).attempts)
    return None


def all_are_httpx_errors(
    refused: spanwire.CircuitOpen, late: spanwire.AttemptTimeout, spent: spanwire.RetryExhausted
) -> list[httpx.TransportError]:
    timeouts: list[httpx.TimeoutException] = [late]
    return [refused, spent, *timeouts]


# -- interceptors, listeners, layers ----------------------------------------------------------------------------------


class Signed:
    """An interceptor: any of three hooks, plain or async."""

    around = "attempt"

    def on_request(self, request: httpx.Request, context: Context) -> httpx.Request | None:
        assert_type(context.attempt, int)
        request.headers["x-signature"] = context.client
        return None

    async def on_response(self, response: httpx.Response, context: Context) -> None:
        assert_type(context.elapsed, float)


async def middleware(request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
    response = await call(request)
    if response.status_code == 202:
        await io.close(response)
        await io.sleep(0.1)
        response = await call(request)
    return response


class Ears(Listener):
    """A listener: what it does not override says nothing."""

    def decided(self, call: Call | None, decision: Decision) -> None:
        evidence: dict[str, Any] = {**decision.evidence()}
        LOG.info("%s %s", decision.NAME, evidence)
        assert_type(decision.severity, Severity)

    def attempt(self, call: Call, attempt: Attempt, request: httpx.Request) -> Callable[[], None] | None:
        assert_type(attempt.number, int)
        return None


def heard() -> None:
    client = Client(interceptors=[Signed(), middleware, LoggingInterceptor()], listeners=[Ears()])
    client.interceptors.add(middleware, around="call")
    client.interceptors.remove(middleware)
    client.close()


DOOR = Attribute("acme.door", "The door.", limit=4)


@dataclass(frozen=True, slots=True)
class Knocked(Decision):
    """A decision of one's own."""

    NAME: ClassVar[str] = "acme.knocked"
    SEVERITY: ClassVar[Severity] = Severity.WARN

    door: Annotated[str, DOOR]


class Courteous(Layer[Timeout]):
    """A layer of one's own."""

    def __init__(self, config: Timeout, kit: Kit, previous: Self | None = None) -> None:
        super().__init__(config, kit, previous)
        assert_type(self.config, Timeout)
        assert_type(kit.random, random.Random)

    async def __call__(self, request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
        self.kit.signals.emit(Knocked("front"), Call.of(request))
        async with io.lock():
            return await call(request)


# -- telemetry, and tests of what is built on it ----------------------------------------------------------------------


def script() -> None:
    stop = telemetry.setup("acme", prometheus_port=9464)
    telemetry.log_decisions("debug")
    assert_type(stop, Callable[[], None])


def test_a_story(
    spanwire_origin: FaultyOrigin,
    spanwire_clock: FakeClock,
    spanwire_recorder: Recorder,
    spanwire_telemetry: SpanwireTelemetry,
    spanwire_virtual_time: VirtualTime,
) -> None:
    def seen(request: Seen) -> int | Answer:
        return 200 if request.path == "/" else Answer(503, headers={"retry-after": "1"})

    spanwire_origin.script(503, Answer(fault="reset"), seen)
    with Client(clock=spanwire_clock, listeners=[spanwire_recorder], **spanwire_telemetry.providers) as client:
        assert client.get(spanwire_origin.url).status_code == 200
    assert_type(spanwire_recorder.attempts, list[str])
    assert_type(spanwire_clock.sleeps, list[float])
    assert_type(spanwire_telemetry.metric("spanwire.retry.attempts"), float)
    assert_type(spanwire_virtual_time.run(in_async), bytes)
