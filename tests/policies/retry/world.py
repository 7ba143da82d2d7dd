"""A policy's world: a wire that answers as it is told to, and a runtime that writes down what it is asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from spanwire.call import CALL, KIND, Call
from spanwire.decisions import Decision
from spanwire.kit import Kit, Layer
from spanwire.ledger import Account
from spanwire.runtime.sync import SyncRuntime, run
from spanwire.signals import Listener, Signals

NOON = 1_750_000_000.0
"""The time of day at which every world begins."""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Recorder(Listener):
    def __init__(self) -> None:
        self.decisions: list[Any] = []

    def decided(self, call: Call | None, decision: Decision) -> None:
        self.decisions.append(decision)


class Stream(httpx.SyncByteStream):
    """A body that is open until it is closed."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.open = True
        self.failure = failure

    def __iter__(self) -> Iterator[bytes]:
        if self.failure is not None:
            raise self.failure
        yield b"body"

    def close(self) -> None:
        self.open = False


class FakeIO(SyncRuntime):
    """Writes down each send, drain, close, read and sleep; sleeping moves the clock."""

    def __init__(self, log: list[str], clock: Clock) -> None:
        self.log, self.clock = log, clock
        self.drains: list[tuple[int, float]] = []
        self.cut: BaseException | None = None
        """What ends the next sleep."""

    async def sleep(self, seconds: float) -> None:
        self.log.append(f"sleep {seconds:.4g}")
        if self.cut is not None:
            raise self.cut
        self.clock.now += seconds

    async def drain(self, response: httpx.Response, limit: int, seconds: float) -> None:
        self.log.append(f"drain {response.status_code}")
        self.drains.append((limit, seconds))
        response.close()

    async def close(self, response: httpx.Response) -> None:
        if not response.is_closed:
            self.log.append(f"close {response.status_code}")
        response.close()

    async def read(self, response: httpx.Response) -> bytes:
        self.log.append(f"read {response.status_code}")
        return response.read()


class World:
    """One client's layer of one policy. Answers are statuses, responses, errors or functions; the last stays."""

    def __init__(self, layer: type[Layer[Any]], config: Any, *answers: Any, previous: Any = None) -> None:
        self.clock = Clock()
        self.recorder = Recorder()
        self.account = Account("test")
        self.signals = Signals(self.account, (self.recorder,), self.clock)
        self.kit = Kit("test", self.clock, lambda: NOON + self.clock.now - 100, random.Random(7), self.signals)
        self.layer: Any = layer(config, self.kit, previous)
        self.answers = list(answers)
        self.log: list[str] = []
        self.kinds: list[str] = []
        self.streams: list[Stream] = []
        self.io = FakeIO(self.log, self.clock)
        self.last: Call | None = None

    # -- asking ----------------------------------------------------------------------------------------------------

    def request(
        self, method: str = "GET", *, total: float | None = None, idempotent: bool | None = None, **more: Any
    ) -> httpx.Request:
        request = httpx.Request(method, "http://origin.test/things", **more)
        call = request.extensions[CALL] = Call(request, self.clock, "test", "00000000", total)
        call.idempotent = idempotent
        self.last = call
        return request

    def send(self, method: str = "GET", **more: Any) -> httpx.Response:
        return self.go(self.request(method, **more))

    def go(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = run(self.layer(request, self.wire, self.io))
        return response

    # -- answering -------------------------------------------------------------------------------------------------

    async def wire(self, request: httpx.Request) -> httpx.Response:
        kind = request.extensions.get(KIND, "primary")
        self.kinds.append(kind)
        self.log.append("send")
        attempt = Call.of(request).begin(kind, self.clock())
        try:
            return self._answer(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0], request)
        finally:
            Call.of(request).finish(attempt, self.clock())

    def _answer(self, answer: Any, request: httpx.Request) -> httpx.Response:
        if isinstance(answer, BaseException):
            raise answer.with_traceback(None)
        if isinstance(answer, httpx.Response):
            return answer
        if isinstance(answer, Callable):
            return self._answer(answer(request), request)
        return self.response(answer)

    def response(self, status: int, failure: Exception | None = None, **headers: str) -> httpx.Response:
        """A response whose body is still open; `retry_after="3"` gives the header Retry-After."""
        stream = Stream(failure)
        self.streams.append(stream)
        return httpx.Response(
            status, headers={name.replace("_", "-"): text for name, text in headers.items()}, stream=stream
        )

    # -- what was told ---------------------------------------------------------------------------------------------

    @property
    def told(self) -> list[Any]:
        return self.recorder.decisions

    @property
    def names(self) -> list[str]:
        return [f"{decision.NAME.rpartition('.')[2]} {decision.reason}" for decision in self.told]

    def value(self, metric: str, **where: str) -> float:
        return self.account.value(metric, **where)

    @property
    def open(self) -> int:
        """Bodies that nobody has closed."""
        return sum(stream.open for stream in self.streams)


class Cancelled(BaseException):
    """What cancellation looks like to a policy, in either colour."""
