"""Which failures are replaced, and what kind of failure each is: pure."""

from __future__ import annotations

from typing import Literal

from ...errors import DeadlineExceeded, Rejected
from ..outcome import Outcome
from .config import Fallback

Why = Literal["status", "error", "rejected", "deadline"]


def applies(config: Fallback, outcome: Outcome) -> bool:
    """Whether an outcome is one to replace."""
    if config.methods is not None and outcome.request.method not in config.methods:
        return False
    if outcome.response is not None:
        return outcome.response.status_code in config.on_status
    return isinstance(outcome.error, config.on_exception)


def why(outcome: Outcome) -> Why:
    """The kind of failure, of a closed set."""
    if outcome.response is not None:
        return "status"
    if isinstance(outcome.error, Rejected):
        return "rejected"
    return "deadline" if isinstance(outcome.error, DeadlineExceeded) else "error"
