"""User code around calls and attempts: what it sees and may change, and that it costs neither connection nor call."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

import spanwire
from spanwire import CircuitBreaker, Context, Fixed, Listener, LoggingInterceptor, Policy, Retry
from spanwire.signals import EVERYWHERE
from spanwire.telemetry import log_decisions
from spanwire.testing import FakeClock, FaultyOrigin, Recorder, SpanwireTelemetry
from tests.integration.counting import Tally
from tests.testing.colours import Colour

URL = "http://origin.test"
POLICY = Policy(retry=Retry(max_attempts=3, backoff=Fixed(seconds=0)), circuit_breaker=None)
ONE_CONNECTION = {"limits": httpx.Limits(max_connections=1), "timeout": httpx.Timeout(5, pool=0.5)}


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def log() -> list[str]:
    return []


class Notes:
    """An interceptor that writes down what it sees."""

    def __init__(self, log: list[str], name: str = "", around: str = "call") -> None:
        self.log, self.name, self.around = log, name, around

    def on_request(self, request: httpx.Request, context: Context) -> None:
        self.log.append(f"{self.name}> {request.method} {context.attempt}")

    def on_response(self, response: httpx.Response, context: Context) -> None:
        self.log.append(f"{self.name}< {response.status_code} {context.attempt}")

    def on_error(self, error: Exception, context: Context) -> None:
        self.log.append(f"{self.name}! {type(error).__name__} {context.attempt}")


class AsyncNotes(Notes):
    """The same, whose hooks are async."""

    async def on_request(self, request: httpx.Request, context: Context) -> None:  # type: ignore[override]
        super().on_request(request, context)

    async def on_response(self, response: httpx.Response, context: Context) -> None:  # type: ignore[override]
        super().on_response(response, context)

    async def on_error(self, error: Exception, context: Context) -> None:  # type: ignore[override]
        super().on_error(error, context)


def hook(**hooks: Callable[..., Any]) -> Any:
    """An interceptor of some hooks; `around=` says where."""
    return type(
        "Hook", (), {name: staticmethod(given) if callable(given) else given for name, given in hooks.items()}
    )()


def noting(log: list[str], name: str) -> Any:
    """A middleware that writes down when it was entered and left."""

    async def middleware(request: httpx.Request, call: Any, io: Any) -> httpx.Response:
        log.append(f"{name}>")
        try:
            response: httpx.Response = await call(request)
        finally:
            log.append(f"{name}<")
        return response

    return middleware


# -- where they stand --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Notes, AsyncNotes])
def test_one_around_the_call_sees_the_call_and_one_around_the_attempt_each_attempt(
    colour: Colour, tally: Tally, log: list[str], kind: type[Notes]
) -> None:
    given = [kind(log, "call"), kind(log, "attempt", around="attempt")]
    client = colour.client(policy=POLICY, transport=tally.transport, interceptors=given)
    assert colour.get(client, URL + "/503/200").status_code == 200
    assert log == [
        "call> GET 0",
        "attempt> GET 1",
        "attempt< 503 1",
        "attempt> GET 2",
        "attempt< 200 2",
        "call< 200 0",
    ]


def test_the_first_is_the_outermost_also_of_those_that_were_added_later(
    colour: Colour, tally: Tally, log: list[str]
) -> None:
    client = colour.client(policy=POLICY, transport=tally.transport, interceptors=[Notes(log, "a"), noting(log, "b")])
    client.interceptors.add(Notes(log, "c"))
    client.interceptors.add(noting(log, "d"), around="attempt")
    colour.get(client, URL)
    assert log == ["a> GET 0", "b>", "c> GET 0", "d>", "d<", "c< 200 0", "b<", "a< 200 0"]
    assert len(client.interceptors) == 4
    assert [type(one).__name__ for one in client.interceptors] == ["Notes", "function", "Notes", "function"]
    assert "Notes around the call" in repr(client.interceptors)
    assert "function around the attempt" in repr(client.interceptors)


def test_add_may_say_otherwise_than_the_object_does(colour: Colour, tally: Tally, log: list[str]) -> None:
    client = colour.client(policy=POLICY, transport=tally.transport)
    client.interceptors.add(Notes(log, around="call"), around="attempt")
    colour.get(client, URL + "/503/200")
    assert log == ["> GET 1", "< 503 1", "> GET 2", "< 200 2"]


def test_one_that_is_removed_takes_part_no_more(colour: Colour, tally: Tally, log: list[str]) -> None:
    notes = Notes(log)
    client = colour.client(policy=POLICY, transport=tally.transport, interceptors=[notes])
    client.interceptors.remove(notes)
    colour.get(client, URL)
    assert not log
    with pytest.raises(ValueError, match="not among the client's interceptors"):
        client.interceptors.remove(notes)


def test_a_method_can_be_removed_though_python_makes_it_anew_each_time(colour: Colour, tally: Tally) -> None:
    class Signing:
        async def middleware(self, request: httpx.Request, call: Any, io: Any) -> httpx.Response:
            raise AssertionError

    signing = Signing()
    client = colour.client(transport=tally.transport, interceptors=[signing.middleware])
    client.interceptors.remove(signing.middleware)
    assert colour.get(client, URL).status_code == 200


def test_one_that_stands_twice_is_removed_once(colour: Colour, tally: Tally, log: list[str]) -> None:
    notes = Notes(log)
    client = colour.client(transport=tally.transport, interceptors=[notes, notes])
    client.interceptors.remove(notes)
    colour.get(client, URL)
    assert log == ["> GET 0", "< 200 0"]


def test_one_that_is_added_or_removed_in_a_call_takes_part_from_the_next_on(
    colour: Colour, tally: Tally, log: list[str]
) -> None:
    late = Notes(log, "late", around="attempt")
    joins = hook(on_request=lambda request, context: client.interceptors.add(late) if not log else None)
    client = colour.client(policy=POLICY, transport=tally.transport, interceptors=[joins])
    colour.get(client, URL + "/503/200")
    assert not log
    colour.get(client, URL)
    assert log == ["late> GET 1", "late< 200 1"]


def test_they_stand_around_calls_with_an_override_too(colour: Colour, tally: Tally, log: list[str]) -> None:
    client = colour.client(policy=POLICY, transport=tally.transport, interceptors=[Notes(log)])
    for _ in range(2):
        colour.get(client, URL + "/503/200", extensions=spanwire.override(retry=False))
    assert log == ["> GET 0", "< 503 0"] * 2


def test_they_stand_in_bare_transports_too(tally: Tally, log: list[str]) -> None:
    bare = spanwire.Transport(POLICY, tally.transport, interceptors=[Notes(log)])
    with httpx.Client(transport=bare) as client:
        client.get(URL)
    assert log == ["> GET 0", "< 200 0"]


@pytest.mark.parametrize(
    ("given", "around", "said"),
    [
        (object(), None, "neither an interceptor nor a middleware"),
        (hook(on_answer=lambda: None), None, "on_request, on_response, on_error"),
        (hook(on_request=lambda *_: None, around="everything"), None, "'everything' is impossible"),
        (hook(on_request=lambda *_: None), "endpoint", "'call' or 'attempt'"),
    ],
)
def test_what_is_no_interceptor_is_refused_with_the_remedy(given: Any, around: Any, said: str) -> None:
    with spanwire.Client() as client:
        with pytest.raises(spanwire.ConfigurationError, match=said):
            client.interceptors.add(given, around=around)
        assert len(client.interceptors) == 0


# -- what they are told ------------------------------------------------------------------------------------------------


def test_the_context_says_whose_call_it_is_and_how_long_it_took(colour: Colour, tally: Tally, clock: FakeClock) -> None:
    def takes(request: httpx.Request) -> httpx.Response:
        clock.advance(2)
        return httpx.Response(200)

    seen: list[Context] = []
    notes = hook(on_response=lambda response, context: seen.append(context))
    arguments = {"name": "billing", "transport": httpx.MockTransport(takes), "interceptors": [notes], "clock": clock}
    client = colour.client(**arguments)
    colour.get(client, URL + "/a?token=s3cret", extensions=spanwire.override(route="/{x}"))
    (context,) = seen
    assert (context.client, context.route, context.attempt, context.elapsed) == ("billing", "/{x}", 0, 2)
    assert "s3cret" not in repr(context)


# -- what they may change ----------------------------------------------------------------------------------------------


def test_a_request_that_is_given_back_goes_on_in_place_of_the_other(colour: Colour, recorder: Recorder) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(503 if len(seen) == 1 else 200)

    other = hook(on_request=lambda request, context: httpx.Request("GET", URL + "/other", headers={"X-Other": "1"}))
    client = colour.client(
        policy=POLICY, transport=httpx.MockTransport(answer), interceptors=[other], listeners=[recorder]
    )
    response = colour.get(client, URL + "/this")
    assert [(request.url.path, request.headers["X-Other"]) for request in seen] == [("/other", "1")] * 2
    assert seen[0].extensions["timeout"]["read"] == 10, "phase timeouts go with it"
    assert recorder.attempts == ["attempt 1 503", "attempt 2 200"]
    assert len(spanwire.report(response).attempts) == 2
    assert len(recorder.calls) == 1


def test_a_header_that_is_set_on_the_request_arrives(colour: Colour, origin: FaultyOrigin) -> None:
    def sign(request: httpx.Request, context: Context) -> None:
        request.headers["X-Attempt"] = str(context.attempt)

    origin.script(503, 200)
    client = colour.client(policy=POLICY, interceptors=[hook(on_request=sign, around="attempt")])
    colour.get(client, origin.url)
    assert [seen.headers["X-Attempt"] for seen in origin.requests] == ["1", "2"]


def test_a_response_that_is_given_back_takes_the_others_place_and_costs_no_connection(
    colour: Colour, origin: FaultyOrigin
) -> None:
    other = hook(on_response=lambda response, context: httpx.Response(203, text="other"))
    client = colour.client(policy=POLICY, interceptors=[other], **ONE_CONNECTION)
    for _ in range(3):
        response = colour.get(client, origin.url)
        assert (response.status_code, response.text) == (203, "other")
        assert spanwire.report(response).outcome == "success"
    assert origin.connections == 1


def test_a_response_around_the_stream_of_the_other_is_read_through(colour: Colour, origin: FaultyOrigin) -> None:
    class Upper(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __iter__(self) -> Iterator[bytes]:
            yield from (piece.upper() for piece in self.inner)

        async def __aiter__(self) -> Any:
            async for piece in self.inner:
                yield piece.upper()

        def close(self) -> None:
            self.inner.close()

        async def aclose(self) -> None:
            await self.inner.aclose()

    loud = hook(
        on_response=lambda response, context: httpx.Response(response.status_code, stream=Upper(response.stream))
    )
    client = colour.client(policy=POLICY, interceptors=[loud], **ONE_CONNECTION)
    assert [colour.get(client, origin.url).text for _ in range(3)] == ["OK"] * 3
    assert origin.connections == 1


def test_an_error_may_be_answered_with_a_response(colour: Colour, recorder: Recorder) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there", request=request)

    serves = hook(on_error=lambda error, context: httpx.Response(200, text=f"instead of {type(error).__name__}"))
    client = colour.client(
        policy=POLICY, transport=httpx.MockTransport(refuse), interceptors=[serves], listeners=[recorder]
    )
    assert colour.get(client, URL).text == "instead of ConnectError"
    assert len(recorder.attempts) == 3, "it is asked when retrying has ended"
    assert recorder.calls[0].outcome == "success"


def test_an_error_that_is_answered_around_the_attempt_is_none_to_the_retry(colour: Colour, recorder: Recorder) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there", request=request)

    serves = hook(on_error=lambda error, context: httpx.Response(200), around="attempt")
    client = colour.client(
        policy=POLICY, transport=httpx.MockTransport(refuse), interceptors=[serves], listeners=[recorder]
    )
    assert colour.get(client, URL).status_code == 200
    assert recorder.attempts == [f"attempt 1 {httpx.__name__}.ConnectError"]


def test_an_error_that_is_not_answered_goes_on(colour: Colour, log: list[str]) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there", request=request)

    client = colour.client(policy=POLICY, transport=httpx.MockTransport(refuse), interceptors=[Notes(log)])
    with pytest.raises(httpx.ConnectError, match="nobody there"):
        colour.get(client, URL)
    assert log == ["> GET 0", "! ConnectError 0"]


def test_an_error_may_become_another_that_tells_its_cause(colour: Colour) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there", request=request)

    def translate(error: Exception, context: Context) -> None:
        raise LookupError("no such service") from error

    client = colour.client(
        policy=POLICY, transport=httpx.MockTransport(refuse), interceptors=[hook(on_error=translate)]
    )
    with pytest.raises(LookupError, match="no such service") as caught:
        colour.get(client, URL)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert spanwire.report(caught.value).outcome == "failure"


# -- when they fail ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("around", ["call", "attempt"])
@pytest.mark.parametrize("which", ["on_request", "on_response"])
def test_one_that_fails_ends_the_call_with_its_error_and_costs_no_connection(
    colour: Colour, origin: FaultyOrigin, recorder: Recorder, around: str, which: str
) -> None:
    def fail(*_: Any) -> None:
        raise ArithmeticError("a mistake in the interceptor")

    failing = hook(**{which: fail, "around": around})
    client = colour.client(policy=POLICY, interceptors=[failing], listeners=[recorder], **ONE_CONNECTION)
    for _ in range(3):
        with pytest.raises(ArithmeticError, match="a mistake in the interceptor") as caught:
            colour.get(client, origin.url)
        assert spanwire.report(caught.value).outcome == "failure"
    client.interceptors.remove(failing)
    assert colour.get(client, origin.url).status_code == 200
    assert len(recorder.calls) == 4
    assert all(call.ended for call in recorder.calls)


def test_an_async_hook_that_waits_for_something_else_is_refused_by_the_sync_client(tally: Tally) -> None:
    async def waits(request: httpx.Request, context: Context) -> None:
        await asyncio.sleep(0)

    client = spanwire.Client(transport=tally.transport, interceptors=[hook(on_request=waits)])
    with client, pytest.raises(RuntimeError, match="awaited something that is not the client's runtime"):
        client.get(URL)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_hook_may_wait_in_an_async_client(backend: str, tally: Tally, log: list[str]) -> None:
    async def waits(request: httpx.Request, context: Context) -> None:
        await anyio.sleep(0)
        log.append("waited")

    async def main() -> None:
        async with spanwire.AsyncClient(transport=tally.transport, interceptors=[hook(on_request=waits)]) as client:
            await client.get(URL)

    anyio.run(main, backend=backend)
    assert log == ["waited"]


# -- middleware --------------------------------------------------------------------------------------------------------


def test_middleware_may_answer_by_itself(colour: Colour, tally: Tally, recorder: Recorder) -> None:
    async def closed(request: httpx.Request, call: Any, io: Any) -> httpx.Response:
        return httpx.Response(451)

    client = colour.client(transport=tally.transport, interceptors=[closed], listeners=[recorder])
    response = colour.get(client, URL)
    assert (response.status_code, tally.requests) == (451, 0)
    assert len(spanwire.report(response).attempts) == 0
    assert len(recorder.calls) == 1


def test_middleware_may_send_twice_within_one_call(colour: Colour, origin: FaultyOrigin, recorder: Recorder) -> None:
    async def twice(request: httpx.Request, call: Any, io: Any) -> httpx.Response:
        first = await call(request)
        await io.drain(first, 1024, 1.0)
        response: httpx.Response = await call(request)
        return response

    origin.script(200, 201)
    client = colour.client(policy=POLICY, interceptors=[twice], listeners=[recorder], **ONE_CONNECTION)
    assert colour.get(client, origin.url).status_code == 201
    assert recorder.attempts == ["attempt 1 200", "attempt 2 201"]
    assert len(recorder.calls) == 1
    assert origin.connections == 1


def test_middleware_around_the_attempt_that_sends_twice_makes_two_attempts_of_one(colour: Colour, tally: Tally) -> None:
    async def twice(request: httpx.Request, call: Any, io: Any) -> httpx.Response:
        await io.close(await call(request))
        response: httpx.Response = await call(request)
        return response

    client = colour.client(policy=POLICY, transport=tally.transport)
    client.interceptors.add(twice, around="attempt")
    assert colour.get(client, URL + "/503/503/503/200").status_code == 200
    assert tally.requests == 4


def test_middleware_waits_by_the_clients_runtime(colour: Colour, tally: Tally, clock: FakeClock) -> None:
    async def patient(request: httpx.Request, call: Any, io: Any) -> httpx.Response:
        await io.sleep(3)
        response: httpx.Response = await call(request)
        return response

    client = colour.client(transport=tally.transport, interceptors=[patient], clock=clock)
    assert colour.get(client, URL).status_code == 200
    assert clock.sleeps == [3]


@pytest.mark.parametrize("around", ["call", "attempt"])
def test_middleware_that_fails_after_the_answer_costs_no_connection(
    colour: Colour, origin: FaultyOrigin, around: Any
) -> None:
    async def fails(request: httpx.Request, call: Any, io: Any) -> httpx.Response:
        await call(request)
        raise ArithmeticError("a mistake in the middleware")

    client = colour.client(policy=POLICY, **ONE_CONNECTION)
    client.interceptors.add(fails, around=around)
    for _ in range(3):
        with pytest.raises(ArithmeticError, match="a mistake in the middleware"):
            colour.get(client, origin.url)
    client.interceptors.remove(fails)
    assert colour.get(client, origin.url).status_code == 200


def test_middleware_that_gives_another_answer_costs_no_connection(colour: Colour, origin: FaultyOrigin) -> None:
    async def other(request: httpx.Request, call: Any, io: Any) -> httpx.Response:
        await call(request)
        return httpx.Response(203, text="other")

    client = colour.client(policy=POLICY, interceptors=[other], **ONE_CONNECTION)
    assert [colour.get(client, origin.url).text for _ in range(3)] == ["other"] * 3
    assert origin.connections == 1


def test_middleware_that_sends_twice_and_forgets_the_first_answer_costs_no_connection(
    colour: Colour, origin: FaultyOrigin
) -> None:
    async def twice(request: httpx.Request, call: Any, io: Any) -> httpx.Response:
        await call(request)
        response: httpx.Response = await call(request)
        return response

    limits = httpx.Limits(max_connections=2)
    client = colour.client(policy=POLICY, interceptors=[twice], limits=limits, timeout=httpx.Timeout(5, pool=0.5))
    assert [colour.get(client, origin.url).status_code for _ in range(4)] == [200] * 4
    assert origin.connections == 2


# -- the log -----------------------------------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture, logger: str) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == logger]


def test_the_logging_interceptor_writes_one_line_per_call(
    colour: Colour, tally: Tally, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spanwire.http")
    arguments = {"name": "billing", "policy": POLICY, "transport": tally.transport, "clock": clock}
    client = colour.client(**arguments, interceptors=[LoggingInterceptor()])
    colour.get(client, "http://user:s3cret@origin.test/503/200?token=s3cret", headers={"Authorization": "s3cret"})
    colour.get(client, URL + "/503")
    url = "http://REDACTED:REDACTED@origin.test/503/200?token=REDACTED"
    assert lines(caplog, "spanwire.http") == [
        ("INFO", f"GET {url} -> 200 in 0.000 s"),
        ("WARNING", "GET http://origin.test/503 -> 503 in 0.000 s"),
    ]
    assert caplog.records[0].spanwire == {
        "client": "billing",
        "method": "GET",
        "url": url,
        "elapsed": 0.0,
        "attempt": 0,
        "status": 200,
    }
    assert json.dumps(caplog.records[0].spanwire)


def test_the_logging_interceptor_writes_one_line_per_attempt_if_it_stands_there(
    colour: Colour, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        clock.advance(1.5)
        raise httpx.ConnectError("nobody there", request=request)

    caplog.set_level(logging.DEBUG, "outbound")
    logging_ = LoggingInterceptor("outbound", level=logging.DEBUG, around="attempt")
    client = colour.client(policy=POLICY, transport=httpx.MockTransport(refuse), clock=clock, interceptors=[logging_])
    with pytest.raises(httpx.ConnectError):
        colour.get(client, URL)
    assert lines(caplog, "outbound") == [
        ("ERROR", f"GET http://origin.test/ attempt {number} -> ConnectError in 1.500 s") for number in (1, 2, 3)
    ]
    assert caplog.records[-1].spanwire["error"] == "ConnectError"


@pytest.fixture
def unheard() -> Iterator[None]:
    """Whoever hears of all clients is forgotten afterwards."""
    before = list(EVERYWHERE)
    yield
    EVERYWHERE[:] = before


def failing_twice(colour: Colour, clock: FakeClock) -> None:
    """A story with a step of a call, a warning, and two changes of state: one bad, one not so bad."""
    policy = Policy(
        retry=Retry(max_attempts=2, backoff=Fixed(seconds=0)), circuit_breaker=CircuitBreaker(consecutive_failures=2)
    )
    client = colour.client(name="billing", policy=policy, transport=Tally().transport, clock=clock)
    colour.get(client, URL + "/503/503")
    client.reload(policy)


@pytest.mark.usefixtures("unheard")
@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("debug", ["retry.scheduled", "circuit_breaker.transition", "retry.exhausted", "config.loaded"]),
        ("info", ["circuit_breaker.transition", "retry.exhausted", "config.loaded"]),
        ("Warning", ["circuit_breaker.transition", "retry.exhausted"]),
        (logging.ERROR, ["circuit_breaker.transition"]),
    ],
)
def test_decisions_are_logged_from_a_level_on(
    colour: Colour, clock: FakeClock, caplog: pytest.LogCaptureFixture, level: str | int, told: list[str]
) -> None:
    caplog.set_level(logging.DEBUG, "spanwire")
    log_decisions("error")
    log_decisions(level)
    failing_twice(colour, clock)
    seen = [record for record in caplog.records if record.name == "spanwire"]
    assert [record.getMessage().split()[0].removeprefix("spanwire.") for record in seen] == told
    assert all(record.spanwire and json.dumps(record.spanwire) for record in seen)
    breaker = next(record for record in seen if "transition" in record.getMessage())
    assert breaker.levelname == "ERROR"
    assert "reason=consecutive_failures" in breaker.getMessage()
    assert breaker.spanwire["spanwire.circuit_breaker.to"] == "open"


@pytest.mark.usefixtures("unheard")
def test_a_level_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(spanwire.ConfigurationError, match="debug, info, warning, error"):
        log_decisions("loud")


@pytest.mark.parametrize(
    ("level", "code", "said"), [("debug", 0, "retry.scheduled"), ("loud", 1, "`SPANWIRE_LOG` = 'loud'")]
)
def test_the_environment_can_ask_for_the_log(level: str, code: int, said: str) -> None:
    program = """if True:
        import logging, httpx, spanwire
        logging.basicConfig(level="DEBUG")
        answers = iter([503, 200])
        with spanwire.Client(transport=httpx.MockTransport(lambda request: httpx.Response(next(answers)))) as client:
            client.get("http://origin.test")
    """
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"SPANWIRE_LOG": level},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == code, told.stderr
    assert said in told.stderr


# -- listeners that fail -----------------------------------------------------------------------------------------------


class Failing(Listener):
    """Fails at everything it hears of."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.heard = 0

    def _fail(self, at: str) -> None:
        if self.at == at:
            self.heard += 1
            raise ArithmeticError(f"a mistake in {at}")

    def opened(self, call: Any) -> None:
        self._fail("opened")

    def closed(self, call: Any) -> None:
        self._fail("closed")

    def attempt(self, call: Any, attempt: Any, request: Any) -> Callable[[], None]:
        self._fail("attempt")
        return lambda: self._fail("attempt's end")

    def wait(self, call: Any, kind: str, seconds: float | None) -> Callable[[], None]:
        self._fail("wait")
        return lambda: self._fail("wait's end")

    def decided(self, call: Any, decision: Any) -> None:
        self._fail("decided")


@pytest.mark.parametrize("at", ["opened", "closed", "attempt", "attempt's end", "wait", "wait's end", "decided"])
def test_a_listener_that_fails_breaks_no_call_and_is_counted(
    colour: Colour, tally: Tally, telemetry: SpanwireTelemetry, recorder: Recorder, at: str
) -> None:
    failing = Failing(at)
    client = colour.client(
        policy=POLICY, transport=tally.transport, listeners=[failing, recorder], **telemetry.providers
    )
    assert colour.get(client, URL + "/503/200").status_code == 200
    assert failing.heard > 0
    assert telemetry.metric("spanwire.telemetry.dropped", kind="listener") == failing.heard
    assert recorder.log == [
        "attempt 1 503",
        "retry.scheduled status backoff 0s",
        "wait backoff 0s",
        "attempt 2 200",
    ], "the others hear everything"
    assert len(telemetry.call_spans) == 1
    assert len(telemetry.attempt_spans) == 2


def test_a_listener_that_fails_while_the_body_is_read_does_not_break_the_reading(colour: Colour, tally: Tally) -> None:
    client = colour.client(transport=tally.transport, listeners=[Failing("closed")])
    request = client.build_request("GET", URL)
    response = colour.run(client.send(request, stream=True))
    assert colour.run(response.aread() if colour.is_async else response.read()) == b"x"
    assert client.metrics()["counters"]["spanwire.telemetry.dropped"][0]["value"] == 1


def test_what_ends_the_program_is_not_held_back(tally: Tally) -> None:
    class Interrupted(Listener):
        def decided(self, call: Any, decision: Any) -> None:
            raise KeyboardInterrupt

    client = spanwire.Client(policy=POLICY, transport=tally.transport, listeners=[Interrupted()])
    with client, pytest.raises(KeyboardInterrupt):
        client.get(URL + "/503/200")


def test_middleware_is_given_by_an_argument_of_its_own_and_stands_outside_the_interceptors() -> None:
    order: list[str] = []

    async def outer(request: Any, call: Any, io: Any) -> Any:
        order.append("middleware")
        return await call(request)

    class Inner:
        def on_request(self, request: Any, context: Any) -> None:
            order.append("interceptor")

    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    with spanwire.Client(transport=transport, middleware=[outer], interceptors=[Inner()]) as client:
        client.get("http://x.test/")
    assert order == ["middleware", "interceptor"]
