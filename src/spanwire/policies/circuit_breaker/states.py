"""The machine as a table: the states of a breaker, and all that can move it from one to another.

A reason is what moves the machine, and what is told of the move. What does not stand in `TRANSITIONS` cannot happen.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class State(enum.StrEnum):
    """The states of a circuit breaker; each is equal to its name."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"


class Reason(enum.StrEnum):
    """Why a breaker leaves a state."""

    FAILURE_RATIO = "failure_ratio"
    CONSECUTIVE_FAILURES = "consecutive_failures"
    SLOW_CALL_RATIO = "slow_call_ratio"
    BREAK_OVER = "break_over"
    PROBES_SUCCEEDED = "probes_succeeded"
    PROBE_FAILED = "probe_failed"
    PROBE_SLOW = "probe_slow"
    FORCED = "forced"
    DISABLED = "disabled"
    ENABLED = "enabled"
    RESET = "reset"


class Verdict(enum.Enum):
    """What an admitted call says of the origin; ABANDONED says nothing."""

    SUCCESS = "success"
    FAILURE = "failure"
    ABANDONED = "abandoned"


CLOSED = State.CLOSED
SUCCESS, FAILURE, ABANDONED = Verdict.SUCCESS, Verdict.FAILURE, Verdict.ABANDONED
"""For the hot path: Python 3.11 takes 70 ns to read a member from its class."""

RULES = (Reason.FAILURE_RATIO, Reason.CONSECUTIVE_FAILURES, Reason.SLOW_CALL_RATIO)
"""The reasons to open that the configuration sets a limit for."""

_BY_HAND = {Reason.FORCED: State.FORCED_OPEN, Reason.DISABLED: State.DISABLED, Reason.RESET: State.CLOSED}

TRANSITIONS: Mapping[State, Mapping[Reason, State]] = {
    State.CLOSED: {
        Reason.FAILURE_RATIO: State.OPEN,
        Reason.CONSECUTIVE_FAILURES: State.OPEN,
        Reason.SLOW_CALL_RATIO: State.OPEN,
        Reason.FORCED: State.FORCED_OPEN,
        Reason.DISABLED: State.DISABLED,
    },
    State.OPEN: {
        Reason.BREAK_OVER: State.HALF_OPEN,
        **_BY_HAND,
    },
    State.HALF_OPEN: {
        Reason.PROBES_SUCCEEDED: State.CLOSED,
        Reason.PROBE_FAILED: State.OPEN,
        Reason.PROBE_SLOW: State.OPEN,
        **_BY_HAND,
    },
    State.FORCED_OPEN: {
        Reason.ENABLED: State.CLOSED,
        Reason.RESET: State.CLOSED,
        Reason.DISABLED: State.DISABLED,
    },
    State.DISABLED: {
        Reason.ENABLED: State.CLOSED,
        Reason.FORCED: State.FORCED_OPEN,
    },
}
