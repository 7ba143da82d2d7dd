"""What retrying tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...decisions import SECONDS, Attribute, Count, Decision, Record, Severity, counter, histogram, reason, updown

CAUSE = reason(
    "throttled", "status", "connect", "pool", "timeout", "network", "protocol", "server_asked", "custom",
    brief="What was wrong with the attempt that is retried.",
)  # fmt: skip
WHY_NOT = reason(
    "not_retryable", "not_idempotent", "not_replayable", "max_attempts",
    "budget", "deadline", "retry_after_too_long", "cancelled",
    brief="Why no further attempt was made.",
)  # fmt: skip
DENIED_FOR = reason(*(why for why in WHY_NOT.values if why != "max_attempts"), brief=WHY_NOT.brief)
EXHAUSTED = reason("max_attempts", brief=WHY_NOT.brief)
ATTEMPT = Attribute("spanwire.retry.attempt", "The number of the attempt that has just failed, from 1.")
ATTEMPTS_LEFT = Attribute("spanwire.retry.attempts_left", "Attempts that the policy would still have allowed.")
OUTCOME = Attribute("spanwire.retry.outcome", "The status or the error of that attempt.", example="503")
DELAY = Attribute("spanwire.retry.delay", "The wait before the next attempt.", unit="s")
SOURCE = Attribute("spanwire.retry.delay_source", "What the wait comes from.", values=("backoff", "retry_after"))
BUDGET_LEFT = Attribute("spanwire.retry.budget_left", "Tokens left in the retry budget.", unit="{token}")
DEADLINE_LEFT = Attribute("spanwire.retry.deadline_left", "Time left until the call's deadline.", unit="s")

ATTEMPTS = counter("spanwire.retry.attempts", "{retry}", "Retries that were scheduled.", CAUSE)
DENIALS = counter("spanwire.retry.denials", "{retry}", "Failed attempts that were not retried.", WHY_NOT)
WAITS = histogram("spanwire.retry.delay", "The waits before retries.", buckets=(*SECONDS, 20.0, 60.0))
AVAILABLE = updown("spanwire.retry_budget.available", "{token}", "Tokens left in the retry budget.")
CAPACITY = updown("spanwire.retry_budget.capacity", "{token}", "Tokens of a full retry budget.")


@dataclass(frozen=True, slots=True)
class Scheduled(Decision):
    """An attempt failed and is retried after a wait."""

    NAME: ClassVar[str] = "spanwire.retry.scheduled"
    NOTABLE: ClassVar[bool] = True
    MOVES: ClassVar[tuple[Count | Record, ...]] = (Count(ATTEMPTS), Record(WAITS, "delay"))

    reason: Annotated[str, CAUSE]
    attempt: Annotated[int, ATTEMPT]
    outcome: Annotated[str, OUTCOME]
    delay: Annotated[float, DELAY]
    delay_source: Annotated[str, SOURCE]
    budget_left: Annotated[float | None, BUDGET_LEFT]
    deadline_left: Annotated[float | None, DEADLINE_LEFT]


@dataclass(frozen=True, slots=True)
class Denied(Decision):
    """An attempt failed and is not retried, although attempts were left. `delay` is the wait that would have been."""

    NAME: ClassVar[str] = "spanwire.retry.denied"
    SEVERITY: ClassVar[Severity] = Severity.WARN
    NOTABLE: ClassVar[bool] = True
    MOVES: ClassVar[tuple[Count | Record, ...]] = (Count(DENIALS),)

    reason: Annotated[str, DENIED_FOR]
    attempt: Annotated[int, ATTEMPT]
    outcome: Annotated[str, OUTCOME]
    attempts_left: Annotated[int, ATTEMPTS_LEFT]
    delay: Annotated[float | None, DELAY]
    budget_left: Annotated[float | None, BUDGET_LEFT]
    deadline_left: Annotated[float | None, DEADLINE_LEFT]


@dataclass(frozen=True, slots=True)
class Exhausted(Decision):
    """The last attempt that the policy allows failed too."""

    NAME: ClassVar[str] = "spanwire.retry.exhausted"
    SEVERITY: ClassVar[Severity] = Severity.WARN
    NOTABLE: ClassVar[bool] = True
    MOVES: ClassVar[tuple[Count | Record, ...]] = (Count(DENIALS),)

    reason: Annotated[str, EXHAUSTED]
    attempt: Annotated[int, ATTEMPT]
    outcome: Annotated[str, OUTCOME]
    budget_left: Annotated[float | None, BUDGET_LEFT]
    deadline_left: Annotated[float | None, DEADLINE_LEFT]
