"""Streams and the ends of calls: a call lasts until its body is read or closed, and is told once, as it ended."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from opentelemetry import context as otel
from opentelemetry import trace

import spanwire
from spanwire import Fixed, Policy, Retry, Timeout
from spanwire.testing import Answer as Faulty
from spanwire.testing import FakeClock, FaultyOrigin, SpanwireTelemetry
from tests.integration.support import Answer, Driver, Seen, Site, outcomes

pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpx2?\\.:ResourceWarning")
"""httpx's own generators warn on trio if a loop over them is left early."""

ONCE = Policy(retry=None, circuit_breaker=None)


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body made in process: what it is asked for is counted, and any piece may be an error or a function."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = pieces
        self.asked = 0
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.asked += 1
            yield self._made(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.asked += 1
            yield self._made(piece)

    @staticmethod
    def _made(piece: Any) -> bytes:
        if callable(piece):
            piece = piece()
        if isinstance(piece, BaseException):
            raise piece
        return bytes(piece)

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def serving(driver: Driver, body: Pieces) -> httpx.MockTransport:
    return driver.transport(lambda request: httpx.Response(200, stream=body))


def ends(telemetry: SpanwireTelemetry) -> list[tuple[str, str, object]]:
    """Outcome, status and error type of every call that has ended."""
    found = []
    for span in telemetry.call_spans:
        attributes = span.attributes or {}
        found.append((str(attributes["spanwire.outcome"]), span.status.status_code.name, attributes.get("error.type")))
    return found


def got(client: Any, url: str, how: str) -> bytes:
    """The body of a response, read by `client.stream` or at once."""
    if how != "streamed":
        return bytes(client.get(url).content)
    with client.stream("GET", url) as response:
        return bytes(response.read())


SUCCESS = ("success", "UNSET", None)
CANCELLED = ("cancelled", "UNSET", None)


# -- when a call ends -------------------------------------------------------------------------------------------------


def test_a_call_ends_when_the_last_of_its_body_is_read(driver: Driver, telemetry: SpanwireTelemetry) -> None:
    body = Pieces(b"one", b"two")
    client = driver.ours(transport=serving(driver, body), **telemetry.providers)
    with client.stream("GET", "http://x.test/") as response:
        pieces = response.iter_raw()
        assert (body.asked, next(pieces), body.asked, ends(telemetry)) == (0, b"one", 1, []), "nothing is read ahead"
        assert (next(pieces), body.asked, ends(telemetry)) == (b"two", 2, [])
        assert next(pieces, None) is None
        assert ends(telemetry) == [SUCCESS]
    assert ends(telemetry) == [SUCCESS]
    assert body.closed >= 1


def test_a_call_ends_when_half_of_its_body_is_read_and_the_rest_is_not_wanted(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = lambda seen: Answer(200, iter([b"one", b"two"]))
    client = driver.ours(**telemetry.providers)
    with client.stream("GET", site.url) as response:
        pieces = response.iter_raw()
        assert next(pieces) == b"one"
        assert ends(telemetry) == []
    assert ends(telemetry) == [SUCCESS]
    assert telemetry.metric("spanwire.call.active") == 0


def test_a_call_that_is_read_at_once_has_ended_when_its_response_is_there(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    response = driver.ours(**telemetry.providers).get(site.url)
    assert ends(telemetry) == [SUCCESS]
    assert spanwire.report(response).outcome == "success"


def test_the_time_of_the_body_is_part_of_the_call(
    driver: Driver, telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    body = Pieces(b"one", lambda: clock.advance(2) or b"two")
    client = driver.ours(transport=serving(driver, body), clock=clock, **telemetry.providers)
    with client.stream("GET", "http://x.test/") as response:
        response.read()
    report = spanwire.report(response.response)
    assert (report.duration, report.phases["body"]) == (2, 2)
    assert telemetry.metric("spanwire.call.phase.time", phase="body") == 2
    (point,) = telemetry.points("spanwire.call.duration")
    assert point.sum == 2


def test_an_exception_of_the_callers_while_streaming_is_no_failure_of_the_call(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    client = driver.ours(**telemetry.providers)
    with pytest.raises(LookupError), client.stream("GET", site.url):
        raise LookupError
    assert ends(telemetry) == [SUCCESS]


def test_a_response_that_is_closed_twice_ends_its_call_once(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    client = driver.ours(**telemetry.providers)
    response = client.open(client.build_request("GET", site.url))
    for _ in range(2):
        response.close()
    assert ends(telemetry) == [SUCCESS]
    assert client.metrics()["requests"]["total"] == 1


def test_a_response_that_is_never_closed_breaks_nothing(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = lambda seen: Answer(200, iter([b"one", b"two"]))
    client = driver.ours(**telemetry.providers)
    response = client.open(client.build_request("GET", site.url))
    assert response.status_code == 200
    del response
    gc.collect()
    assert client.get(site.url).content == b"onetwo"
    client.close()
    assert ends(telemetry) == [SUCCESS], "nobody can know how the other one ended"


def test_what_comes_after_the_end_of_a_call_changes_nothing(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    client = driver.ours(**telemetry.providers)
    response = client.get(site.url)
    engine, call = client.client._engine, spanwire.Call.of(response.request)
    engine.failed(call, ValueError("late"))
    engine.succeeded(call, response)
    assert ends(telemetry) == [SUCCESS]
    assert client.metrics()["requests"]["outcomes"] == {"success": 1}


def test_a_body_that_is_read_to_its_end_stays_there(driver: Driver) -> None:
    if driver.is_sync:
        pytest.skip("of the async colour: its body is an iterator itself")
    transport = spanwire.AsyncTransport(ONCE, serving(driver, Pieces(b"one")))

    async def story() -> list[bytes]:
        response = await transport.handle_async_request(httpx.Request("GET", "http://x.test/"))
        pieces: Any = aiter(response.stream)  # type: ignore[arg-type]
        read = [piece async for piece in pieces]
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)
        await response.aclose()
        return read

    assert driver.run(story()) == [b"one"]


def test_a_streamed_failure_is_told_as_one_when_it_is_closed(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.script(500)
    client = driver.ours(policy=ONCE, **telemetry.providers)
    with client.stream("GET", site.url) as response:
        response.read()
    assert ends(telemetry) == [("failure", "ERROR", "500")]


# -- bodies that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["streamed", "at once"])
def test_a_body_that_breaks_fails_the_call_though_its_attempt_succeeded(
    driver: Driver, origin: FaultyOrigin, telemetry: SpanwireTelemetry, how: str
) -> None:
    origin.script(Faulty(fault="truncate", body="x" * 100))
    client = driver.ours(policy=ONCE, **telemetry.providers)
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        got(client, origin.url, how)
    assert ends(telemetry) == [("failure", "ERROR", f"{httpx.__name__}.RemoteProtocolError")]
    (attempt,) = telemetry.attempt_spans
    assert (attempt.status.status_code.name, (attempt.attributes or {})["http.response.status_code"]) == ("UNSET", 200)
    assert spanwire.report(caught.value).outcome == "failure"
    assert (telemetry.call_spans[0].attributes or {})["spanwire.notable"] is True


@pytest.mark.parametrize("how", ["streamed", "at once"])
def test_the_deadline_ends_a_body_that_stalls_and_blames_the_body(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, how: str
) -> None:
    def stalling() -> Iterator[bytes]:
        yield b"one"
        site.gate.wait(5)

    site.answer = lambda seen: Answer(200, stalling())
    client = driver.ours(policy=Policy(timeout=Timeout(total=0.15), retry=None), **telemetry.providers)
    with pytest.raises(spanwire.DeadlineExceeded, match="most of it by body") as caught:
        got(client, site.url, how)
    assert caught.value.phase == "body"
    assert str(caught.value.request.url) == site.url
    assert ends(telemetry) == [("failure", "ERROR", "spanwire.DeadlineExceeded")]
    (event,) = telemetry.events("deadline.exceeded")
    assert (event["spanwire.deadline.phase"], event["spanwire.deadline.total"]) == ("body", 0.15)
    assert telemetry.metric("spanwire.deadline.used", share="exceeded") == 1


def test_the_deadline_ends_a_slow_drip_at_its_next_drop(
    driver: Driver, telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    def drop() -> bytes:
        clock.advance(20)
        return b"drop"

    body = Pieces(drop, drop, drop, drop)
    client = driver.ours(
        transport=serving(driver, body), policy=Policy(timeout=Timeout(total=30)), clock=clock, **telemetry.providers
    )
    with pytest.raises(spanwire.DeadlineExceeded) as caught, client.stream("GET", "http://x.test/") as response:
        response.read()
    assert (caught.value.phase, body.asked, body.closed >= 1) == ("body", 2, True)
    assert ends(telemetry) == [("failure", "ERROR", "spanwire.DeadlineExceeded")]


def test_without_a_total_a_body_may_take_as_long_as_it_takes(driver: Driver, clock: FakeClock) -> None:
    body = Pieces(lambda: clock.advance(1e6) or b"late")
    policy = Policy(timeout=Timeout(total=None))
    assert driver.ours(transport=serving(driver, body), policy=policy, clock=clock).get("http://x.test/").text == "late"


# -- calls that are given up ------------------------------------------------------------------------------------------


class Arrivals(spanwire.Listener):
    """Lets the answers stall, and tells when the call has come to the attempt, to the wait, or to the body."""

    def __init__(self, site: Site, where: str) -> None:
        self.site, self.where = site, where
        self.there = threading.Event()
        site.answer = self.answer

    def answer(self, seen: Seen) -> Answer:
        if self.where == "attempt":
            self.there.set()
            self.site.gate.wait(5)
        return Answer(503) if self.where == "wait" else Answer(200, self.body())

    def body(self) -> Iterator[bytes]:
        yield b"one"
        self.site.gate.wait(5)

    def attempt(self, call: Any, attempt: Any, request: httpx.Request) -> Callable[[], None] | None:
        return self.there.set if self.where in ("body", "stream") else None

    def wait(self, call: Any, kind: str, seconds: float | None) -> None:
        self.there.set()


@pytest.mark.parametrize("where", ["attempt", "wait", "body", "stream"])
def test_a_cancelled_call_is_neither_failure_nor_success(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    if driver.is_sync:
        pytest.skip("a sync call cannot be cancelled")
    arrivals = Arrivals(site, where)
    policy = Policy(retry=Retry(backoff=Fixed(seconds=10)))
    limits = httpx.Limits(max_connections=1)
    client = driver.ours(policy=policy, limits=limits, listeners=[arrivals], **telemetry.providers).client

    async def use() -> None:
        if where != "stream":
            await client.get(site.url)
        async with client.stream("GET", site.url) as response:
            await response.aread()

    async def story() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            await anyio.to_thread.run_sync(arrivals.there.wait, 5)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        site.gate.set()
        site.answer = lambda seen: Answer()
        assert (await client.get(site.url)).status_code == 200, "the connection is free again"

    driver.run(story())
    assert ends(telemetry) == [CANCELLED, SUCCESS]
    cancelled = telemetry.attempt_spans[0]
    if where == "attempt":
        assert cancelled.status.status_code.name == "UNSET"
        assert "error.type" not in (cancelled.attributes or {})
    assert client.metrics()["requests"]["outcomes"] == {"cancelled": 1, "success": 1}
    assert telemetry.metric("spanwire.call.active") == 0
    assert telemetry.metric("http.client.request.duration") == (1 if where == "attempt" else 2)
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


def test_a_caller_who_loses_patience_cancels_the_call(site: Site, telemetry: SpanwireTelemetry) -> None:
    import asyncio

    Arrivals(site, "attempt")

    async def story() -> None:
        async with spanwire.AsyncClient(**telemetry.providers) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.get(site.url), 0.05)

    asyncio.run(story())
    assert ends(telemetry) == [CANCELLED]


@pytest.mark.parametrize("where", ["attempt", "wait", "body", "stream"])
def test_an_interrupted_call_is_neither_failure_nor_success(telemetry: SpanwireTelemetry, where: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if where == "attempt":
            raise KeyboardInterrupt
        if where == "wait":
            return httpx.Response(503)
        return httpx.Response(200, stream=Pieces(b"one", KeyboardInterrupt()))

    class Clock(FakeClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    before = otel.get_current()
    with spanwire.Client(transport=httpx.MockTransport(handler), clock=Clock(), **telemetry.providers) as client:
        with pytest.raises(KeyboardInterrupt):
            got(client, "http://x.test/", "streamed" if where == "stream" else "at once")
        assert otel.get_current() == before
        assert client.metrics()["requests"]["outcomes"] == {"cancelled": 1}
    assert ends(telemetry) == [CANCELLED]
    assert telemetry.metric("spanwire.call.active") == 0


def test_a_generator_over_a_stream_that_is_closed_early_ends_the_call(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = lambda seen: Answer(200, iter([b"one", b"two"]))
    client = driver.ours(**telemetry.providers)

    if driver.is_sync:

        def pieces() -> Iterator[bytes]:
            with client.client.stream("GET", site.url) as response:
                yield from response.iter_raw()

        mine = pieces()
        assert next(mine) == b"one"
        mine.close()
    else:

        async def apieces() -> AsyncIterator[bytes]:
            async with client.client.stream("GET", site.url) as response:
                async for piece in response.aiter_raw():
                    yield piece

        theirs = apieces()
        assert driver.run(anext(theirs)) == b"one"
        driver.run(theirs.aclose())  # type: ignore[attr-defined]
    assert ends(telemetry) == [SUCCESS]


def test_a_coroutine_that_is_closed_in_the_middle_is_a_cancelled_call(telemetry: SpanwireTelemetry) -> None:
    class Suspended:
        def __await__(self) -> Iterator[None]:
            yield

    async def handler(request: httpx.Request) -> httpx.Response:
        await Suspended()
        raise AssertionError("nobody goes on")

    client = spanwire.AsyncClient(
        transport=httpx.MockTransport(handler), policy=Policy(timeout=None), **telemetry.providers
    )
    before = otel.get_current()
    sending = client.get("http://x.test/")
    sending.send(None)
    sending.close()
    assert otel.get_current() == before
    assert ends(telemetry) == [CANCELLED]
    anyio.run(client.aclose)


# -- the span is nobody's context while a stream is open --------------------------------------------------------------


def test_no_span_is_current_while_a_stream_is_open_or_afterwards(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = lambda seen: Answer(200, iter([b"one", b"two"]))
    client = driver.ours(**telemetry.providers).client
    seen: list[bool] = []

    def look() -> None:
        seen.append(trace.get_current_span() is trace.INVALID_SPAN)

    def story() -> None:
        with client.stream("GET", site.url) as response:
            look()
            for _ in response.iter_raw():
                look()
            look()
        look()

    async def astory() -> None:
        async with client.stream("GET", site.url) as response:
            look()
            async for _ in response.aiter_raw():
                look()
            look()
        look()

    story() if driver.is_sync else driver.run(astory())
    assert seen == [True] * 5


def test_the_callers_own_span_stays_current_throughout(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    client = driver.ours(**telemetry.providers)
    tracer = telemetry.tracer_provider.get_tracer("mine")
    with tracer.start_as_current_span("mine") as mine:
        with client.stream("GET", site.url) as response:
            assert trace.get_current_span() is mine
            response.read()
            assert trace.get_current_span() is mine
        client.get(site.url)
        assert trace.get_current_span() is mine
    assert [span.parent and span.parent.span_id for span in telemetry.call_spans] == [mine.context.span_id] * 2  # type: ignore[attr-defined]


def test_a_stream_may_be_read_and_closed_by_another_thread(
    site: Site, telemetry: SpanwireTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "opentelemetry")
    site.answer = lambda seen: Answer(200, iter([b"one", b"two"]))
    got: list[bytes] = []
    with spanwire.Client(**telemetry.providers) as client:
        response = client.send(client.build_request("GET", site.url), stream=True)
        thread = threading.Thread(target=lambda: (got.append(response.read()), response.close()))
        thread.start()
        thread.join()
    assert got == [b"onetwo"]
    assert ends(telemetry) == [SUCCESS]
    assert not [record for record in caplog.records if "detach" in record.getMessage()]


def test_a_stream_may_be_read_and_closed_by_another_task(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    site.answer = lambda seen: Answer(200, iter([b"one", b"two"]))
    client = driver.ours(**telemetry.providers)
    response = client.open(client.build_request("GET", site.url))  # each `run` of an async colour is a task of its own
    assert next(response.iter_raw()) == b"one"
    response.close()
    assert ends(telemetry) == [SUCCESS]
    assert not [record for record in caplog.records if "detach" in record.getMessage()]


# -- the same through a bare transport --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["read", "half", "unread", "broken"])
def test_a_bare_transport_ends_its_calls_with_their_bodies(
    driver: Driver, telemetry: SpanwireTelemetry, how: str
) -> None:
    body = Pieces(b"one", httpx.ReadError("gone") if how == "broken" else b"two")
    made: Callable[..., Any] = spanwire.Transport if driver.is_sync else spanwire.AsyncTransport
    client = driver.theirs(transport=made(ONCE, serving(driver, body), **telemetry.providers))
    with client.stream("GET", "http://x.test/") as response:
        assert ends(telemetry) == []
        match how:
            case "read":
                response.read()
            case "half":
                assert next(response.iter_raw()) == b"one"
            case "broken":
                with pytest.raises(httpx.ReadError):
                    response.read()
    assert ends(telemetry) == [("failure", "ERROR", f"{httpx.__name__}.ReadError") if how == "broken" else SUCCESS]
    assert body.closed >= 1


def test_a_response_that_is_there_at_once_ends_its_call_at_once(driver: Driver, telemetry: SpanwireTelemetry) -> None:
    client = driver.ours(
        transport=driver.transport(lambda request: httpx.Response(200, content=b"ready")), **telemetry.providers
    )
    with client.stream("GET", "http://x.test/") as response:
        assert outcomes(telemetry) == ["success"]
        assert response.read() == b"ready"
