"""What the deadline tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...call import PHASES
from ...decisions import Attribute, Decision, Severity

TOTAL = Attribute("spanwire.deadline.total", "The call's total time.", unit="s")
USED_BY = Attribute("spanwire.deadline.phase", "The phase that used most of the total time.", values=PHASES)


@dataclass(frozen=True, slots=True)
class DeadlinePassed(Decision):
    """The call's total time was used up; the phases say by what."""

    NAME: ClassVar[str] = "spanwire.deadline.exceeded"
    SEVERITY: ClassVar[Severity] = Severity.WARN
    NOTABLE: ClassVar[bool] = True

    total: Annotated[float, TOTAL]
    phase: Annotated[str, USED_BY]
    phase_time: Annotated[float, Attribute("spanwire.deadline.phase_time", "Time that this phase took.", unit="s")]
    attempts: Annotated[int, Attribute("spanwire.deadline.attempts", "Attempts made until then.")]
