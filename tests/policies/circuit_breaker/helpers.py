"""A breaker's world in virtual time: a clock that is set by hand, and a listener that writes down what it hears."""

from __future__ import annotations

import random
from typing import Any

import httpx

from spanwire.call import ATTEMPT, CALL, Call
from spanwire.decisions import Decision
from spanwire.kit import Kit
from spanwire.ledger import Account
from spanwire.policies.circuit_breaker import CircuitBreaker, CircuitBreaking
from spanwire.policies.circuit_breaker.core import Breaker
from spanwire.policies.circuit_breaker.states import FAILURE, SUCCESS, Verdict
from spanwire.policies.circuit_breaker.tickets import Blame, Ticket
from spanwire.runtime.sync import SyncRuntime, run
from spanwire.signals import Listener, Signals

ORIGIN = "http://h"


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Recorder(Listener):
    def __init__(self) -> None:
        self.heard: list[tuple[Call | None, Decision]] = []

    def decided(self, call: Call | None, decision: Decision) -> None:
        self.heard.append((call, decision))

    @property
    def decisions(self) -> list[Any]:
        return [decision for _, decision in self.heard]

    @property
    def names(self) -> list[str]:
        return [decision.NAME.rpartition(".")[2] for decision in self.decisions]


class Half(random.Random):
    """Randomness that is always 0.5."""

    def random(self) -> float:
        return 0.5


class World:
    """One client's layer, whose wire answers as it is told: by statuses, errors or functions, the last ever again."""

    def __init__(self, config: CircuitBreaker | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.recorder = Recorder()
        self.account = Account("billing")
        self.kit = Kit(
            "billing", self.clock, lambda: 1_000_000.0, Half(), Signals(self.account, (self.recorder,), self.clock)
        )
        self.layer = CircuitBreaking(config or CircuitBreaker(**settings), self.kit)
        self.io = SyncRuntime(httpx.MockTransport(lambda request: httpx.Response(200)))
        self.answers: list[Any] = [200]
        self.sent: list[httpx.Request] = []
        self.calls: list[Call] = []

    def script(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def wire(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        call = Call.of(request)
        attempt = request.extensions[ATTEMPT] = call.begin("primary", self.clock())
        attempt.context = f"span {len(self.sent)}"
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = answer() if callable(answer) and not isinstance(answer, type) else answer
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(answer)

    def request(self, url: str = f"{ORIGIN}/", route: str | None = None) -> httpx.Request:
        request = httpx.Request("GET", url)
        call = request.extensions[CALL] = Call(request, self.clock, "billing", "hash", None)
        call.route = route
        self.calls.append(call)
        return request

    def send(
        self, url: str = f"{ORIGIN}/", route: str | None = None, layer: CircuitBreaking | None = None
    ) -> httpx.Response:
        return run((layer or self.layer)(self.request(url, route), self.wire, self.io))

    def breaker(self, name: str = ORIGIN) -> Breaker:
        found = self.layer._breakers.peek(name)
        assert found is not None
        return found

    def value(self, name: str, **where: str) -> float:
        return self.account.value(f"spanwire.circuit_breaker.{name}", **where)


def tripped(**settings: Any) -> World:
    """A world whose breaker one answer of 500 has opened, for 11 s; the next is 200."""
    world = World(**{"consecutive_failures": 1, "break_duration": 10} | settings)
    world.script(500, 200)
    assert world.send().status_code == 500
    assert world.breaker().state == "open"
    return world


def closed(**settings: Any) -> Breaker:
    """A breaker at time 0."""
    return Breaker(ORIGIN, CircuitBreaker(**settings), 0.0)


def ticket(breaker: Breaker, now: float) -> Ticket:
    found = breaker.acquire(now)
    assert found is not None
    return found


def call(breaker: Breaker, verdict: Verdict, now: float, duration: float = 0.0, **blame: Any) -> Any:
    """One call that ends at once."""
    return breaker.settle(ticket(breaker, now), verdict, now, duration, Blame(**blame))


def opened(now: float = 0.0, **settings: Any) -> Breaker:
    """A breaker that one failure has opened, for 10 s unless told otherwise."""
    breaker = closed(**{"consecutive_failures": 1, "break_duration": 10} | settings)
    call(breaker, FAILURE, now)
    return breaker


def half_open(now: float = 10.0, **settings: Any) -> tuple[Breaker, Ticket]:
    """A half-open breaker with its first probe."""
    breaker = opened(**settings)
    return breaker, ticket(breaker, now)


def succeed(breaker: Breaker, probe: Ticket, now: float) -> Any:
    return breaker.settle(probe, SUCCESS, now)
