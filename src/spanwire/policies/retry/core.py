"""Whether a failed attempt is tried again: pure, with all evidence in, and one decision out.

Rules of this file:
1. `cause_of` says what was wrong with an outcome, in one word of a closed set, or None if it is not to be retried.
2. `delay_after` says how long to wait: what the origin asked for is a floor, never shortened.
3. `decide` goes down `RULES`: the first that applies is the reason why not. The budget comes last: it is the only rule
   that takes something.
4. What is told: every retry as `scheduled`; every failed attempt that is not retried as `denied`, or as `exhausted` if
   it was the last one allowed. A success tells nothing, nor does an outcome that `speaks_for_itself`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal

import httpx

from ...errors import AttemptTimeout, DeadlineExceeded, SpanwireError
from .. import retry_after
from ..outcome import Outcome
from .decisions import Denied, Exhausted, Scheduled

if TYPE_CHECKING:
    from .backoff import Backoff
    from .budget import Budget
    from .config import Retry

Cause = Literal["throttled", "status", "connect", "pool", "timeout", "network", "protocol", "server_asked", "custom"]
Source = Literal["backoff", "retry_after"]
WhyNot = Literal[
    "not_retryable", "not_idempotent", "not_replayable", "max_attempts",
    "budget", "deadline", "retry_after_too_long", "cancelled",
]  # fmt: skip
Verdict = Scheduled | Denied | Exhausted


# -- what was wrong ------------------------------------------------------------------------------------------------

_ERRORS: tuple[tuple[type[Exception], Cause], ...] = (
    (httpx.PoolTimeout, "pool"),
    (httpx.ConnectTimeout, "connect"),
    (httpx.ConnectError, "connect"),
    (httpx.TimeoutException, "timeout"),
    (httpx.NetworkError, "network"),
    (httpx.RemoteProtocolError, "protocol"),
)


def is_final(error: Exception | None) -> bool:
    """Whether spanwire itself ended the attempt for good, by a refusal or the deadline; its own timeout does not."""
    return isinstance(error, SpanwireError) and not isinstance(error, AttemptTimeout)


def cause_of(outcome: Outcome, config: Retry) -> Cause | None:
    """Why an outcome is to be retried; None if it is not."""
    if outcome.response is None:
        wanted = isinstance(outcome.error, config.on_exception) and not is_final(outcome.error)
        return named(outcome) if wanted else None
    status, headers = outcome.response.status_code, outcome.response.headers
    said = retry_after.should_retry(headers) if config.respect_retry_after and status >= 400 else None
    if said is False:
        return None
    if status in config.on_status:
        return named(outcome)
    return "server_asked" if said else None


def named(outcome: Outcome) -> Cause:
    """The word for an outcome that is to be retried, whoever wants that."""
    if outcome.response is None:
        return next((cause for kind, cause in _ERRORS if isinstance(outcome.error, kind)), "custom")
    status = outcome.response.status_code
    if status == 429 or (status == 503 and retry_after.is_there(outcome.response.headers)):
        return "throttled"
    return "status" if outcome.failed else "custom"


def speaks_for_itself(outcome: Outcome) -> bool:
    """Whether nobody asks why an outcome is not retried: it is no failure, or a refusal, which was told already.

    Once a retry was made, everything that ends the call is explained, except its success.
    """
    if outcome.attempt > 1:
        return outcome.response is not None and outcome.response.status_code < 400
    return not outcome.failed or (is_final(outcome.error) and not isinstance(outcome.error, DeadlineExceeded))


# -- how long to wait ----------------------------------------------------------------------------------------------


def delay_after(outcome: Outcome, backoff: Backoff, asked: float | None, random: Random) -> tuple[float, Source]:
    """The wait in seconds and what it was taken from: the longer of our backoff and what the origin asked for."""
    own = backoff.delay(outcome.attempt, random)
    if asked is not None:
        wanted = retry_after.floor(asked, random)
        if wanted > own:
            return wanted, "retry_after"
    return own, "backoff"


NO_DELAY: tuple[float, Source] = (0.0, "backoff")

# -- whether -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision is taken on."""

    outcome: Outcome
    cause: Cause | None
    idempotent: bool
    replayable: bool
    max_attempts: int
    delay: float
    delay_source: Source
    asked: float | None
    max_retry_after: float
    deadline_left: float
    budget: Budget | None
    cost: float

    @property
    def budget_left(self) -> float | None:
        """Tokens in the budget now; None where there is none."""
        return None if self.budget is None else self.budget.available


RULES: tuple[tuple[WhyNot, Callable[[Facts], bool]], ...] = (
    ("deadline", lambda facts: isinstance(facts.outcome.error, DeadlineExceeded)),
    ("not_retryable", lambda facts: facts.cause is None),
    ("not_idempotent", lambda facts: not facts.idempotent),
    ("not_replayable", lambda facts: not facts.replayable),
    ("max_attempts", lambda facts: facts.outcome.attempt >= facts.max_attempts),
    ("retry_after_too_long", lambda facts: facts.asked is not None and facts.asked > facts.max_retry_after),
    ("deadline", lambda facts: facts.delay >= facts.deadline_left),
    ("budget", lambda facts: facts.budget is not None and not facts.budget.take(facts.cost)),
)


def decide(facts: Facts) -> Verdict:
    """The decision on one outcome. A retry that is scheduled has paid for itself."""
    for why_not, applies in RULES:
        if applies(facts):
            return denied(why_not, facts)
    return scheduled(facts)


def scheduled(facts: Facts) -> Scheduled:
    """The decision to try again, with its evidence."""
    return Scheduled(
        reason=facts.cause or "custom",
        attempt=facts.outcome.attempt,
        outcome=facts.outcome.name,
        delay=facts.delay,
        delay_source=facts.delay_source,
        budget_left=facts.budget_left,
        deadline_left=_finite(facts.deadline_left),
    )


def denied(why_not: WhyNot, facts: Facts) -> Denied | Exhausted:
    """The decision not to try again, with its evidence."""
    outcome, budget_left, deadline_left = facts.outcome, facts.budget_left, _finite(facts.deadline_left)
    if why_not == "max_attempts":
        return Exhausted(why_not, outcome.attempt, outcome.name, budget_left, deadline_left)
    left = max(0, facts.max_attempts - outcome.attempt)
    delay = None if facts.cause is None else _finite(facts.delay)
    return Denied(why_not, outcome.attempt, outcome.name, left, delay, budget_left, deadline_left)


REMEDIES: Mapping[str, str] = {
    "max_attempts": "raise `retry.max_attempts` if more would help",
    "budget": "too many of the client's calls fail for more retries to help; see `retry.budget`",
    "deadline": "raise `timeout.total` if it may take longer",
    "retry_after_too_long": "the origin asks for a longer wait than `retry.max_retry_after`",
}
"""What to do where attempts, budget or time ran out."""
_TIME_UP = 0.002
"""Seconds before the deadline at which a timeout is the deadline's."""


def gave_up(verdict: Denied | Exhausted, outcome: Outcome) -> bool:
    """Whether retrying ended for want of attempts, budget or time, and it was not the deadline that ended the call."""
    time_is_up = verdict.deadline_left is not None and verdict.deadline_left <= _TIME_UP
    return verdict.reason in REMEDIES and not time_is_up and not is_final(outcome.error)


def _finite(seconds: float) -> float | None:
    """None for an endless time: telemetry has no infinity."""
    return None if seconds == math.inf else seconds
