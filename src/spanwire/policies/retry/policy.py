"""Retrying: asks the core about each failed attempt, tells what was decided, waits, and tries again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import httpx

from ...call import KIND, Call
from ...errors import RetryExhausted
from ...kit import Kit, Layer
from ...ledger import Observation
from ...runtime.protocol import Next, Runtime
from ...wire.evidence import provably_unsent
from .. import retry_after
from ..outcome import Outcome
from .budget import Budget
from .config import Retry
from .core import (
    NO_DELAY,
    REMEDIES,
    Cause,
    Facts,
    cause_of,
    decide,
    delay_after,
    denied,
    gave_up,
    is_final,
    named,
    speaks_for_itself,
)
from .decisions import ATTEMPTS, AVAILABLE, CAPACITY, CAUSE, DENIALS, WHY_NOT, Denied, Exhausted, Scheduled
from .replay import KEY, give_key, replayable
from .tries import Tries

DRAIN_TIME = 1.0
"""Seconds that reading a failed answer, to keep its connection, may take."""


class Retrying(Layer[Retry]):
    """Tries again what failed for a reason that may pass."""

    OBSERVES = (AVAILABLE, CAPACITY)

    def __init__(self, config: Retry, kit: Kit, previous: Retrying | None = None) -> None:
        super().__init__(config, kit, previous)
        self.budget = _budget(config, previous)
        costs = config.budget
        self._cost, self._throttled_cost = (costs.transient_cost, costs.throttling_cost) if costs else (0.0, 0.0)
        self._throttled = config.backoff.throttled(config.throttle_base)
        answers = frozenset(range(100, 400)) - config.on_status
        self._plain = answers if config.should_retry is None else frozenset[int]()
        """The answers that nobody needs to be asked about."""
        for cause in CAUSE.values:
            kit.signals.account.cell(ATTEMPTS, cause)
        for why_not in WHY_NOT.values:
            kit.signals.account.cell(DENIALS, why_not)

    async def __call__(self, request: httpx.Request, call: Next, io: Runtime) -> httpx.Response:
        if self.config.generate_idempotency_key and request.method not in self.config.idempotent_methods:
            give_key(request)
        tries: Tries | None = None
        while True:
            try:
                response = await call(request)
            except Exception as error:
                tries = tries or Tries(request, self.budget)
                if not await self._again(Outcome(request, None, error, tries.number), tries, io):
                    raise
            else:
                if response.status_code in self._plain:
                    if tries is not None:
                        tries.succeeded()
                    elif self.budget is not None:
                        self.budget.succeeded()
                    return response
                tries = tries or Tries(request, self.budget)
                if not await self._again(Outcome(request, response, None, tries.number), tries, io):
                    return response
            tries.number += 1
            request.extensions[KIND] = "retry"

    async def _again(self, outcome: Outcome, tries: Tries, io: Runtime) -> bool:
        """Whether to try again: decided, told and waited for. The response stays open only if it is the answer."""
        try:
            cause = await self._cause(outcome, io)
            if cause is None and speaks_for_itself(outcome):
                tries.settle(outcome)
                return False
            facts = self._facts(outcome, cause)
            verdict = decide(facts)
            if isinstance(verdict, Scheduled):
                tries.paid = facts.cost
                await self._wait(verdict, facts, tries, io)
                return True
            await self._end(verdict, outcome, tries, io)
        except BaseException:
            if outcome.response is not None:
                await io.close(outcome.response)
            raise
        return False

    # -- what is decided on ----------------------------------------------------------------------------------------

    async def _cause(self, outcome: Outcome, io: Runtime) -> Cause | None:
        judge = self.config.should_retry
        if judge is None:
            return cause_of(outcome, self.config)
        if is_final(outcome.error) or not await io.invoke(judge, outcome):
            return None
        return named(outcome)

    def _facts(self, outcome: Outcome, cause: Cause | None) -> Facts:
        config, call, response = self.config, Call.of(outcome.request), outcome.response
        asked = None
        if response is not None and config.respect_retry_after:
            asked = retry_after.asked(response.headers, self.kit.wall())
        throttled = cause == "throttled"
        backoff = self._throttled if throttled else config.backoff
        delay, source = delay_after(outcome, backoff, asked, self.kit.random) if cause else NO_DELAY
        return Facts(
            outcome=outcome,
            cause=cause,
            idempotent=self._idempotent(outcome, call),
            replayable=replayable(outcome.request),
            max_attempts=config.max_attempts,
            delay=delay,
            delay_source=source,
            asked=asked,
            max_retry_after=config.max_retry_after,
            deadline_left=call.remaining(self.kit.clock()),
            budget=self.budget,
            cost=self._throttled_cost if throttled else self._cost,
        )

    def _idempotent(self, outcome: Outcome, call: Call) -> bool:
        """Whether a further attempt does no harm: nothing was sent, the caller says so, or the method or a key does."""
        if outcome.error is not None and provably_unsent(outcome.error):
            return True
        if call.idempotent is not None:
            return call.idempotent
        return outcome.request.method in self.config.idempotent_methods or KEY in outcome.request.headers

    # -- what is done ----------------------------------------------------------------------------------------------

    async def _wait(self, verdict: Scheduled, facts: Facts, tries: Tries, io: Runtime) -> None:
        """Tell, then wait with the connection free for others. If the wait is cut short, the retry is not paid for."""
        outcome, call, signals = facts.outcome, Call.of(facts.outcome.request), self.kit.signals
        signals.emit(verdict, call)
        try:
            if self.config.on_retry is not None:
                await io.invoke(self.config.on_retry, outcome.attempt, outcome, verdict.delay)
            if outcome.response is not None:
                spare = call.remaining(self.kit.clock()) - verdict.delay
                await io.drain(outcome.response, self.config.drain_limit, max(0.0, min(spare, DRAIN_TIME)))
            with signals.wait(call, "backoff", verdict.delay):
                await io.sleep(verdict.delay)
        except BaseException:
            tries.refund()
            signals.emit(denied("cancelled", facts), call)
            raise

    async def _end(self, verdict: Denied | Exhausted, outcome: Outcome, tries: Tries, io: Runtime) -> None:
        """The outcome stands: tell why, settle with the budget, and raise if that is wanted."""
        self.kit.signals.emit(verdict, Call.of(outcome.request))
        tries.settle(outcome)
        if self.config.raise_on_exhausted and gave_up(verdict, outcome):
            raise await self._exhausted(verdict, outcome, io) from outcome.error

    async def _exhausted(self, verdict: Denied | Exhausted, outcome: Outcome, io: Runtime) -> RetryExhausted:
        """The error for `raise_on_exhausted`; its response can be read after the connection is gone."""
        if outcome.response is not None:
            outcome.response.request = outcome.request
            await self._read(outcome.response, io)
        return RetryExhausted(
            f"no attempt succeeded: attempt {outcome.attempt} ended with {outcome.name}, and none followed it because "
            f"of {verdict.reason}: {REMEDIES[verdict.reason]}",
            request=outcome.request,
            reason=verdict.reason,
            response=outcome.response,
        )

    async def _read(self, response: httpx.Response, io: Runtime) -> None:
        with contextlib.suppress(httpx.TransportError):  # the error says enough without the body
            await io.read(response)
        await io.close(response)

    # -- what is seen of it ----------------------------------------------------------------------------------------

    def observe(self) -> Iterable[Observation]:
        if self.budget is not None:
            yield Observation(AVAILABLE, self.budget.available)
            yield Observation(CAPACITY, self.budget.capacity)


def _budget(config: Retry, previous: Retrying | None) -> Budget | None:
    """The budget of the layer before, if it was configured alike: what its calls used up stays used up."""
    if previous is not None and previous.config.budget == config.budget:
        return previous.budget
    return None if config.budget is None else Budget(config.budget)
