"""What the circuit breaker tells: its decisions, with their evidence, and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...decisions import ENFORCED, Attribute, Count, Decision, Severity, counter, reason, updown
from .states import RULES, Reason, State

STATES = tuple(state.value for state in State)
REASONS = tuple(cause.value for cause in Reason)
REFUSALS = ("open", "probing", "forced_open")

# -- attributes ----------------------------------------------------------------------------------------------------

NAME = Attribute(
    "spanwire.circuit_breaker.name",
    "What the breaker guards: an origin, a route or a client.",
    limit=32,
    example="https://billing.internal",
)
STATE = Attribute("spanwire.circuit_breaker.state", "A state of the breaker.", values=STATES)
FROM = Attribute("spanwire.circuit_breaker.from", "The state that the breaker left.", values=STATES)
TO = Attribute("spanwire.circuit_breaker.to", "The state that the breaker entered.", values=STATES)
MOVED_BY = reason(*REASONS, brief="What moved the breaker from one state to the other.")
REFUSED_BY = reason(*REFUSALS, brief="Why the breaker refused: open, probing with no probe to spare, or forced open.")
RULE = Attribute(
    "spanwire.circuit_breaker.rule", "The rule that opened the breaker.", values=tuple(rule.value for rule in RULES)
)
GENERATION = Attribute("spanwire.circuit_breaker.generation", "How often the breaker has changed its state.")
FAILURES = Attribute("spanwire.circuit_breaker.failures", "Failed calls within the window.", unit="{call}")
TOTAL = Attribute("spanwire.circuit_breaker.total", "Calls within the window.", unit="{call}")
SLOW = Attribute("spanwire.circuit_breaker.slow", "Slow calls within the window.", unit="{call}")
STREAK = Attribute("spanwire.circuit_breaker.consecutive_failures", "Failures since the last success.", unit="{call}")
RATIO = Attribute("spanwire.circuit_breaker.ratio", "Share of failed calls within the window.", unit="1")
THRESHOLD = Attribute("spanwire.circuit_breaker.threshold", "The limit of the rule that opened, or would.", unit="1")
WINDOW = Attribute("spanwire.circuit_breaker.window", "Length of the window.", unit="s")
LASTED = Attribute("spanwire.circuit_breaker.lasted", "Time that the state lasted which was left.", unit="s")
BREAK = Attribute("spanwire.circuit_breaker.break", "Time for which it refuses every call from now on.", unit="s")
TRIPS = Attribute("spanwire.circuit_breaker.trips", "Openings in a row, without a full window closed between them.")
PROBED = Attribute("spanwire.circuit_breaker.probes.succeeded", "Probes that succeeded since the break.", unit="{call}")
OUT = Attribute("spanwire.circuit_breaker.probes.active", "Probes under way, this one included.", unit="{call}")
ALLOWED = Attribute("spanwire.circuit_breaker.probes.allowed", "Probes that may be under way at once.", unit="{call}")
RETRY_AFTER = Attribute("spanwire.circuit_breaker.retry_after", "Time until the origin is asked again.", unit="s")

# -- metrics -------------------------------------------------------------------------------------------------------

STATUS = updown(
    "spanwire.circuit_breaker.status", "1", "1 for the state that a breaker is in, 0 for the others.", NAME, STATE
)
STATE_TIME = counter("spanwire.circuit_breaker.state.time", "s", "Time spent in each state.", NAME, STATE)
TRANSITION_COUNT = counter(
    "spanwire.circuit_breaker.transitions", "{transition}", "Changes of state.", NAME, FROM, TO, MOVED_BY
)
REJECTIONS = counter(
    "spanwire.circuit_breaker.rejections", "{call}", "Attempts refused, or that would have been.", NAME, ENFORCED
)
FAILED_CALLS = counter("spanwire.circuit_breaker.failures", "{call}", "Attempts judged to be failures.", NAME)
CALLS = counter("spanwire.circuit_breaker.calls", "{call}", "Attempts let through and judged.", NAME)

# -- decisions -----------------------------------------------------------------------------------------------------

_SEVERITY: Mapping[str, Severity] = {
    State.CLOSED: Severity.INFO,
    State.OPEN: Severity.ERROR,
    State.HALF_OPEN: Severity.WARN,
    State.FORCED_OPEN: Severity.WARN,
    State.DISABLED: Severity.WARN,
}


@dataclass(frozen=True, slots=True)
class _Evidence(Decision):
    """What every decision of a breaker rests on. While it is not closed, the counts are those at which it opened."""

    breaker: Annotated[str, NAME]
    generation: Annotated[int, GENERATION]
    failures: Annotated[int, FAILURES]
    total: Annotated[int, TOTAL]
    slow: Annotated[int, SLOW]
    streak: Annotated[int, STREAK]
    ratio: Annotated[float, RATIO]
    threshold: Annotated[float, THRESHOLD]
    window: Annotated[float, WINDOW]
    trips: Annotated[int, TRIPS]


@dataclass(frozen=True, slots=True)
class BreakerTransition(_Evidence):
    """A breaker changed its state. ERROR when it opened, INFO when it closed, else WARN."""

    NAME: ClassVar[str] = "spanwire.circuit_breaker.transition"
    LASTING: ClassVar[bool] = True
    NOTABLE: ClassVar[bool] = True
    MOVES: ClassVar[tuple[Count, ...]] = (Count(TRANSITION_COUNT),)

    left: Annotated[str, FROM]
    entered: Annotated[str, TO]
    reason: Annotated[str, MOVED_BY]
    lasted: Annotated[float, LASTED]
    succeeded: Annotated[int, PROBED]
    seconds: Annotated[float | None, BREAK] = None
    enforced: Annotated[bool, ENFORCED] = True

    @property
    def severity(self) -> Severity:
        """How bad the state is that was entered."""
        return _SEVERITY[self.entered]


@dataclass(frozen=True, slots=True)
class BreakerRejected(_Evidence):
    """A breaker refused an attempt, or would have in `observe` mode (`enforced` is False)."""

    NAME: ClassVar[str] = "spanwire.circuit_breaker.rejected"
    SEVERITY: ClassVar[Severity] = Severity.WARN
    NOTABLE: ClassVar[bool] = True
    MOVES: ClassVar[tuple[Count, ...]] = (Count(REJECTIONS),)

    reason: Annotated[str, REFUSED_BY]
    rule: Annotated[str | None, RULE] = None
    retry_after: Annotated[float | None, RETRY_AFTER] = None
    enforced: Annotated[bool, ENFORCED] = True


@dataclass(frozen=True, slots=True)
class BreakerProbe(_Evidence):
    """A half-open breaker let an attempt through, to see whether the origin has recovered."""

    NAME: ClassVar[str] = "spanwire.circuit_breaker.probe"

    active: Annotated[int, OUT]
    allowed: Annotated[int, ALLOWED]
    succeeded: Annotated[int, PROBED]
    enforced: Annotated[bool, ENFORCED] = True
