"""What is told of the policy itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..decisions import Attribute, Decision, Severity
from ..metrics import POLICY_HASH

CHANGED = Attribute("spanwire.config.changed", "The settings that differ from those before, by their dotted names.")
PROBLEM = Attribute("spanwire.config.problem", "What is wrong, naming the field, the value and the remedy.")


@dataclass(frozen=True, slots=True)
class ConfigLoaded(Decision):
    """Another policy is in force from now on."""

    NAME: ClassVar[str] = "spanwire.config.loaded"
    LASTING: ClassVar[bool] = True

    policy: Annotated[str, POLICY_HASH]
    changed: Annotated[tuple[str, ...] | None, CHANGED] = None


@dataclass(frozen=True, slots=True)
class ConfigRejected(Decision):
    """A changed policy file is impossible; the policy told stays in force."""

    NAME: ClassVar[str] = "spanwire.config.rejected"
    SEVERITY: ClassVar[Severity] = Severity.WARN
    LASTING: ClassVar[bool] = True

    policy: Annotated[str, POLICY_HASH]
    problem: Annotated[str, PROBLEM]
