"""What the fallback tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...decisions import Attribute, Count, Decision, Record, Severity, counter, reason

WHY = reason("status", "error", "rejected", "deadline", brief="What kind of failure was replaced.")
KIND = Attribute("spanwire.fallback.kind", "Where the response came from.", values=("response", "function"))
OUTCOME = Attribute("spanwire.fallback.outcome", "The status or the error that was replaced.", example="503")
SERVED = Attribute("spanwire.fallback.status", "The status that was served.")

USES = counter("spanwire.fallback.uses", "{call}", "Calls that were served a fallback.", KIND)


@dataclass(frozen=True, slots=True)
class Applied(Decision):
    """A call failed, and its caller is served something else."""

    NAME: ClassVar[str] = "spanwire.fallback.applied"
    SEVERITY: ClassVar[Severity] = Severity.WARN
    NOTABLE: ClassVar[bool] = True
    MOVES: ClassVar[tuple[Count | Record, ...]] = (Count(USES),)

    reason: Annotated[str, WHY]
    kind: Annotated[str, KIND]
    outcome: Annotated[str, OUTCOME]
    status: Annotated[int, SERVED]
