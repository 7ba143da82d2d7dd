"""What passes between a breaker and those who ask it: tickets, blame, and the numbers that it counts into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ...ledger import Cell
from .decisions import BreakerProbe, BreakerRejected, BreakerTransition
from .states import State

if TYPE_CHECKING:
    from .core import Breaker


class Blame(NamedTuple):
    """What a verdict brings along in case that it opens the breaker."""

    context: Any = None
    """The telemetry's reference to the attempt, opaque here."""
    retry_after: float = 0.0
    """Seconds that the server asked for."""
    random: float = 0.0
    """A random number from 0 to 1."""


NOBODY = Blame()


class Tally:
    """The numbers that a breaker counts into, and its name in metrics. An account may own them, and outlive it."""

    __slots__ = ("calls", "failures", "label", "time")

    def __init__(self, label: str, calls: Cell, failures: Cell, time: Mapping[State, Cell]) -> None:
        self.label = label
        self.calls = calls
        self.failures = failures
        self.time = time

    @classmethod
    def fresh(cls, name: str) -> Tally:
        """Numbers of its own."""
        return cls(name, Cell(), Cell(), {state: Cell() for state in State})


class Ticket:
    """What a call got at the breaker. One ticket serves all calls of a generation that is closed."""

    __slots__ = ("breaker", "generation", "probe", "refusal", "told", "tripped_by")

    def __init__(
        self,
        breaker: Breaker,
        generation: int,
        told: tuple[BreakerTransition | BreakerProbe | BreakerRejected, ...] = (),
    ) -> None:
        self.breaker = breaker
        self.generation = generation
        self.told = told
        """The decisions that were taken for it, to be told now that the lock is released."""
        self.refusal = told[-1] if told and isinstance(told[-1], BreakerRejected) else None
        self.probe = bool(told) and self.refusal is None
        self.tripped_by = breaker.tripped_by

    def __repr__(self) -> str:
        kind = "refusal" if self.refusal else "probe" if self.probe else "ticket"
        return f"<{kind} of generation {self.generation} of {self.breaker.name}>"
