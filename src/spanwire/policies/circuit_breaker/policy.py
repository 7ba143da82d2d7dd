"""The breaker around each attempt: ask, go on or refuse, and say what became of it."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable, Iterable
from typing import ClassVar

import httpx

from ...call import ATTEMPT, CALL, LINKS, Call, Link
from ...decisions import Metric
from ...kit import Kit, Layer
from ...ledger import Observation
from ...runtime.protocol import Next, Runtime
from ...target import target_of
from ..retry_after import asked
from .breakers import Breakers
from .config import CircuitBreaker
from .decisions import STATE_TIME, STATUS
from .handle import CircuitBreakers
from .judge import Judge
from .refusal import refused
from .states import ABANDONED, FAILURE, Verdict
from .tickets import NOBODY, Blame, Ticket


class CircuitBreaking(Layer[CircuitBreaker]):
    """A breaker for each origin, route or client, around every attempt."""

    OBSERVES: ClassVar[tuple[Metric, ...]] = (STATUS, STATE_TIME)

    def __init__(self, config: CircuitBreaker, kit: Kit, previous: CircuitBreaking | None = None) -> None:
        super().__init__(config, kit, previous)
        self._breakers = self._kept(previous)
        self._judge = Judge(config)
        self._name = self._naming()
        self._good = 400 if config.is_failure is None else 0
        """Answers below this are successes that nobody needs to be asked about."""
        self._slow = math.inf if config.slow_call_duration is None else config.slow_call_duration
        _layers.add(self)

    def _kept(self, previous: CircuitBreaking | None) -> Breakers:
        """The breakers of the layer before, if they are to decide as they did."""
        if previous is not None and previous.config == self.config:
            return previous._breakers
        if previous is not None:
            previous._breakers.account(self.kit.clock())
        return Breakers(self.config, self.kit.signals.account)

    async def __call__(self, request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
        clock = self.kit.clock
        started = clock()
        ticket = self._breakers.acquire(self._name(request), started)
        response: httpx.Response | None = None
        verdict: Verdict | None = ABANDONED
        try:
            if ticket.told:
                self._tell(ticket, request)
            response = await call(request)
            now = clock()
            if response.status_code < self._good and now - started < self._slow and ticket.breaker.passed(ticket, now):
                verdict = None
            else:
                verdict = self._judge.answer(request, response)
        except BaseException as error:
            if response is not None:  # `is_failure` failed, and nobody else will close it
                await io.close(response)
            verdict = self._judge.error(request, error)
            raise
        finally:
            if verdict is not None:
                self._settle(ticket, verdict, started, request, response)
        return response

    def _tell(self, ticket: Ticket, request: httpx.Request) -> None:
        """Tell what was decided and link it to its cause; a refusal that is enforced ends here."""
        this, signals = Call.of(request), self.kit.signals
        for decision in ticket.told:
            signals.emit(decision, this)
        if ticket.refusal is None:
            if ticket.tripped_by is not None:
                request.extensions[LINKS] = [*request.extensions.get(LINKS, ()), Link(ticket.tripped_by, "tripped_by")]
            return
        if all(link.context is not ticket.tripped_by for link in this.links):
            signals.link(this, ticket.tripped_by, "tripped_by")
        if ticket.refusal.enforced:
            raise refused(ticket.refusal, ticket.tripped_by, request)

    def _settle(
        self, ticket: Ticket, verdict: Verdict, started: float, request: httpx.Request, response: httpx.Response | None
    ) -> None:
        now = self.kit.clock()
        blamed = verdict is FAILURE or now - started >= self._slow
        blame = self._blame(request, response) if blamed else NOBODY
        moved = ticket.breaker.settle(ticket, verdict, now, now - started, blame)
        if moved is not None:
            self.kit.signals.emit(moved, Call.of(request))

    def _blame(self, request: httpx.Request, response: httpx.Response | None) -> Blame:
        attempt = request.extensions.get(ATTEMPT)
        retry_after = None if response is None else asked(response.headers, self.kit.wall())
        return Blame(None if attempt is None else attempt.context, retry_after or 0.0, self.kit.random.random())

    # -- which breaker ---------------------------------------------------------------------------------------------

    def _naming(self) -> Callable[[httpx.Request], str]:
        """How a request's breaker is found. The URL that comes here is the endpoint's where there is balancing."""
        if self.config.scope == "client":
            return lambda request: self.kit.client
        return self._route if self.config.scope == "route" else _origin

    def _route(self, request: httpx.Request) -> str:
        return Call.of(request).route or _origin(request)

    # -- seen from outside -----------------------------------------------------------------------------------------

    def observe(self) -> Iterable[Observation]:
        """The state of each breaker, and how long it has lasted."""
        return self._breakers.observe(self.kit.clock())

    def handle(self) -> CircuitBreakers:
        """`client.circuit_breakers`."""
        return CircuitBreakers(self._breakers, self.kit)

    def after_fork(self) -> None:
        """A child's breakers are its own from here on."""
        self._breakers.after_fork(self.kit.clock())


def _origin(request: httpx.Request) -> str:
    this: Call = request.extensions[CALL]
    return this.target.origin if request.url is this.url else target_of(request.url).origin


_layers: weakref.WeakSet[CircuitBreaking] = weakref.WeakSet()


def _after_fork() -> None:
    for layer in list(_layers):
        layer.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch; Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
