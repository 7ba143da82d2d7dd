"""The drift test: all that a run of scenarios tells is declared, and all that is declared was told by one of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

import spanwire
from spanwire import CircuitBreaker, Connection, Fallback, Fixed, Policy, Retry, RetryBudget, Timeout
from spanwire.call import MAX_DECISIONS, PHASES
from spanwire.decisions import CLIENT, DECISIONS, METRICS, Attribute, Decision, described
from spanwire.metrics import METHODS
from spanwire.spans import ATTEMPT, CALL, RELATION, SPANS, WAIT, SpanShape
from spanwire.testing import FakeClock, FaultyOrigin, SpanwireTelemetry

URL = "http://origin.test"
LATER = {
    "spanwire.attempt.kind": {"hedge", "probe", "revalidation"},
    "spanwire.endpoint": {"*"},
    "spanwire.outcome": {"cached"},
    "spanwire.wait.kind": {"rate_limit", "concurrency", "token", "coalesce"},
    "spanwire.phase": {"rate_limit", "concurrency", "token", "cache", "coalesce"},
    "spanwire.deadline.phase": {"rate_limit", "concurrency", "token", "cache", "coalesce"},
}
"""What is declared for policies that are not there yet. Whoever adds one takes its words out of here."""
IMPOSSIBLE = {
    # a call with requests under way ends in one of them: nothing but waits and attempts can use most of its time
    "spanwire.circuit_breaker.from": set(),
}

SCENARIOS: list[Callable[[World], None]] = []


@dataclass
class World:
    """Where the scenarios run: a clock that they move, and the SDK in memory with a sampler that notes what it saw."""

    folder: Path
    real: FaultyOrigin
    clock: FakeClock = field(default_factory=FakeClock)
    telemetry: SpanwireTelemetry = field(default_factory=SpanwireTelemetry)
    sampled: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    names: Iterator[int] = field(default_factory=itertools.count)

    def client(self, answer: Any = 200, **more: Any) -> spanwire.Client:
        """A client whose origin answers with a status, a response, an error or what a function makes of the request."""
        if "policy" not in more:
            more["policy"] = Policy(**{name: more.pop(name) for name in list(more) if name in Policy.model_fields})
        answers = iter(answer) if isinstance(answer, list) else itertools.repeat(answer)

        def handle(request: httpx.Request) -> httpx.Response:
            found = next(answers)
            found = found(request) if callable(found) and not isinstance(found, type) else found
            if isinstance(found, type) and issubclass(found, Exception):
                raise found("as told", request=request)  # type: ignore[call-arg]
            return httpx.Response(found) if isinstance(found, int) else found

        given = {"transport": httpx.MockTransport(handle), "clock": self.clock, "name": "billing"}
        return spanwire.Client(**{**given, **self.telemetry.providers, **more})

    def takes(self, seconds: float, status: Any = 200, **written: Any) -> Callable[[httpx.Request], httpx.Response]:
        """An answer that takes its time; what the wire would write on the attempt is given by name."""

        def answer(request: httpx.Request) -> httpx.Response:
            for name, value in written.items():
                setattr(request.extensions["spanwire.attempt"], name, value)
            self.clock.advance(seconds)
            if isinstance(status, type):
                raise status("as told", request=request)
            return httpx.Response(status)

        return answer


def scenario(story: Callable[[World], None]) -> Callable[[World], None]:
    SCENARIOS.append(story)
    return story


def fails(client: spanwire.Client, *expected: type[BaseException], method: str = "GET", **more: Any) -> None:
    """A request that ends in an error."""
    with pytest.raises(expected):
        client.request(method, URL, **more)


NO_BREAKER: dict[str, Any] = {"circuit_breaker": None}
QUICK = Retry(max_attempts=2, backoff=Fixed(seconds=0.5))

# -- calls and attempts ------------------------------------------------------------------------------------------------


@scenario
def every_method(world: World) -> None:
    with world.client() as client:
        for method in (*METHODS, "PURGE"):
            client.request(method, URL, extensions=spanwire.override(route="/invoices/{id}"))


@scenario
def every_protocol(world: World) -> None:
    versions = [b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2", b"HTTP/3"]
    answers = [httpx.Response(200, extensions={"http_version": version}) for version in versions]
    with world.client(answers) as client:
        for _ in versions:
            client.get(URL)


@scenario
def a_call_of_the_baseline(world: World) -> None:
    parent = trace.SpanContext(trace_id=1, span_id=1, is_remote=True, trace_flags=trace.TraceFlags(1))
    token = otel.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))
    try:
        with world.client() as client:
            client.get(URL)
    finally:
        otel.detach(token)


@scenario
def redirects_and_authentication(world: World) -> None:
    digest = {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'}
    with world.client([httpx.Response(302, headers={"location": "/b"}), 200], follow_redirects=True) as client:
        client.get(URL)
    with world.client([httpx.Response(401, headers=digest), 200], auth=httpx.DigestAuth("u", "p")) as client:
        client.get(URL)


@scenario
def real_connections(world: World) -> None:
    world.real.script(spanwire.testing.Answer(delay=0.03))
    limits = httpx.Limits(max_connections=1)
    with spanwire.Client(name="real", limits=limits, **world.telemetry.providers) as client:
        import threading

        threads = [threading.Thread(target=client.get, args=(world.real.url,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@scenario
def a_cancelled_call(world: World) -> None:
    with world.client(KeyboardInterrupt) as client:  # what ends the program, as cancellation does
        client._transport._io._wire = httpx.MockTransport(_interrupted)
        fails(client, KeyboardInterrupt)


def _interrupted(request: httpx.Request) -> httpx.Response:
    raise KeyboardInterrupt


# -- deadlines ---------------------------------------------------------------------------------------------------------


@scenario
def shares_of_the_total(world: World) -> None:
    answers = [world.takes(seconds) for seconds in (1, 6, 9)]
    with world.client(answers, timeout=Timeout(total=10)) as client:
        for _ in answers:
            client.get(URL)


@scenario
def deadlines_used_up_by_each_phase(world: World) -> None:
    def late(status: Any = httpx.ReadTimeout, **written: Any) -> spanwire.Client:
        return world.client(world.takes(11, status, **written), timeout=Timeout(total=10), retry=None, **NO_BREAKER)

    for written in ({}, {"pool_wait": 9.0}, {"connect": 9.0}):
        with late(**written) as client:
            fails(client, spanwire.DeadlineExceeded)

    waits = Retry(max_attempts=2, backoff=Fixed(seconds=6))
    answers = [world.takes(1, 503), world.takes(3.5, httpx.ReadTimeout)]
    with world.client(answers, timeout=Timeout(total=10), retry=waits, **NO_BREAKER) as client:
        fails(client, spanwire.DeadlineExceeded)

    slow = type("Slow", (), {"on_request": lambda self, request, context: world.clock.advance(11)})()
    with world.client(200, timeout=Timeout(total=10), interceptors=[slow]) as client:
        fails(client, spanwire.DeadlineExceeded)

    class Drip(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(3):
                world.clock.advance(6)
                yield b"."

    with world.client([httpx.Response(200, stream=Drip())], timeout=Timeout(total=10)) as client:
        fails(client, spanwire.DeadlineExceeded)


# -- retry -------------------------------------------------------------------------------------------------------------


@scenario
def retries_for_every_cause(world: World) -> None:
    causes = [
        httpx.Response(429, headers={"retry-after": "2"}),
        503,
        httpx.ConnectError,
        httpx.PoolTimeout,
        httpx.ReadTimeout,
        httpx.ReadError,
        httpx.RemoteProtocolError,
        httpx.Response(400, headers={"x-should-retry": "true"}),
    ]
    for cause in causes:
        with world.client([cause, 200], retry=QUICK) as client:
            client.get(URL)
    judge = Retry(max_attempts=2, backoff=Fixed(seconds=0.5), should_retry=lambda outcome: outcome.attempt == 1)
    with world.client([200, 200], retry=judge) as client:
        client.get(URL)


@scenario
def no_retry_for_every_reason(world: World) -> None:
    with world.client(httpx.UnsupportedProtocol, retry=QUICK) as client:
        fails(client, httpx.UnsupportedProtocol)
    with world.client(503, retry=QUICK) as client:
        client.post(URL)
        client.put(URL, content=iter([b"once"]))
        client.get(URL)
    poor = Retry(max_attempts=3, backoff=Fixed(seconds=0), budget=RetryBudget(capacity=14))
    with world.client(503, retry=poor) as client:
        client.get(URL)
    with world.client(503, retry=Retry(backoff=Fixed(seconds=20)), timeout=Timeout(total=10)) as client:
        client.get(URL)
    with world.client(httpx.Response(503, headers={"retry-after": "3600"}), retry=QUICK) as client:
        client.get(URL)

    def gives_up(*_: Any) -> None:
        raise KeyboardInterrupt

    with world.client(503, retry=Retry(max_attempts=2, on_retry=gives_up)) as client:
        fails(client, KeyboardInterrupt)


@scenario
def many_attempts(world: World) -> None:
    for count in (3, 5):
        with world.client(503, retry=Retry(max_attempts=count, backoff=Fixed(seconds=0))) as client:
            client.get(URL)


# -- circuit breaker ---------------------------------------------------------------------------------------------------


def breaker(**more: Any) -> dict[str, Any]:
    return {"retry": None, "circuit_breaker": CircuitBreaker(**{"break_duration": 1.0, "success_threshold": 1, **more})}


@scenario
def a_breaker_opens_probes_and_closes(world: World) -> None:
    answers = [500, 500, 500, 200]
    with world.client(answers, **breaker(consecutive_failures=2)) as client:
        client.get(URL)
        client.get(URL)
        fails(client, spanwire.CircuitOpen)
        world.clock.advance(5)
        client.get(URL)  # the probe fails
        world.clock.advance(5)
        client.get(URL)  # and succeeds


@scenario
def a_breaker_opens_by_each_rule(world: World) -> None:
    with world.client(500, **breaker(min_calls=2)) as client:
        for _ in range(2):
            client.get(URL)
        fails(client, spanwire.CircuitOpen)
    slow = breaker(slow_call_ratio=0.5, slow_call_duration=1.0, min_calls=2)
    with world.client(world.takes(2), **slow) as client:
        for _ in range(2):
            client.get(URL)
        fails(client, spanwire.CircuitOpen)
        world.clock.advance(5)
        client.get(URL)  # a slow probe


@scenario
def a_breaker_is_told_what_to_do(world: World) -> None:
    with world.client(200, **breaker()) as client:
        view = client.circuit_breakers[URL]
        view.force_open()
        fails(client, spanwire.CircuitOpen)
        view.enable()
        view.disable()
        view.enable()
        view.force_open()
        view.disable()
        view.force_open()
        view.reset()


@scenario
def a_breaker_has_no_probe_to_spare(world: World) -> None:
    def asks_again(request: httpx.Request) -> httpx.Response:
        fails(client, spanwire.CircuitOpen)
        return httpx.Response(200)

    with world.client([500, asks_again], **breaker(consecutive_failures=1)) as client:
        client.get(URL)
        world.clock.advance(5)
        client.get(URL)


@scenario
def a_breaker_only_observes(world: World) -> None:
    with world.client(500, **breaker(consecutive_failures=1, mode="observe")) as client:
        for _ in range(2):
            client.get(URL)


# -- fallback ----------------------------------------------------------------------------------------------------------


@scenario
def fallbacks_for_every_failure(world: World) -> None:
    serves = Fallback(response={"status": 203})
    makes = Fallback(function=lambda request, outcome: httpx.Response(203))
    with world.client(503, fallback=serves, retry=None) as client:
        client.get(URL)
    with world.client(httpx.ConnectError, fallback=makes, retry=None) as client:
        client.get(URL)
    with world.client(500, fallback=serves, **breaker(consecutive_failures=1)) as client:
        client.get(URL)
        client.get(URL)
    late = world.takes(11, httpx.ReadTimeout)
    with world.client(late, fallback=serves, retry=None, timeout=Timeout(total=10)) as client:
        client.get(URL)


# -- configuration -----------------------------------------------------------------------------------------------------


@scenario
def a_policy_is_reloaded(world: World) -> None:
    with world.client() as client:
        client.reload(Policy(retry=QUICK))


@scenario
def a_watched_file_becomes_impossible(world: World) -> None:
    file = world.folder / "policy.yaml"
    file.write_text("retry: {max_attempts: 2}\n")
    with world.client(policy=Policy.watch(file)) as client:
        file.write_text("retry: {max_attempts: 0}\n")
        client._engine.look()


# -- what telemetry leaves out -----------------------------------------------------------------------------------------


@scenario
def too_much_to_tell(world: World) -> None:
    with world.client() as client:
        for number in range(40):
            client.get(f"http://host{number}.test", extensions=spanwire.override(route=f"/{number}"))
    many = Retry(max_attempts=MAX_DECISIONS + 2, backoff=Fixed(seconds=0), budget=None)
    with world.client(503, retry=many, timeout=None, **NO_BREAKER) as client:
        client.get(URL)

    class Deaf(spanwire.Listener):
        def opened(self, call: spanwire.Call) -> None:
            raise ArithmeticError

        def closed(self, call: spanwire.Call) -> None:
            client._engine.signals.link(call, "one more than there is room for", "tripped_by") if full else None

    full: list[bool] = []
    with world.client(listeners=[Deaf()]) as client:
        client.get(URL)

    refusals = Retry(max_attempts=12, backoff=Fixed(seconds=6), should_retry=lambda outcome: True, budget=None)
    assert refusals


# -- the run -----------------------------------------------------------------------------------------------------------


class Noting(Sampler):
    """Samples everything, and notes what it was told."""

    def __init__(self, notes: list[tuple[str, dict[str, Any]]]) -> None:
        self.notes = notes

    def should_sample(self, parent_context: Any, trace_id: int, name: str, kind: Any = None, attributes: Any = None, *rest: Any, **more: Any) -> Any:
        self.notes.append((name, dict(attributes or {})))
        return ALWAYS_ON.should_sample(parent_context, trace_id, name, kind, attributes, *rest, **more)

    def get_description(self) -> str:
        return "noting"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All scenarios, run once; levels are collected after each, since they end with their client."""
    with FaultyOrigin() as real:
        world = World(tmp_path_factory.mktemp("vocabulary"), real)
        with world.telemetry:
            world.telemetry.tracer_provider.sampler = Noting(world.sampled)
            collected(world)
            for story in SCENARIOS:
                story(world)
            yield world
