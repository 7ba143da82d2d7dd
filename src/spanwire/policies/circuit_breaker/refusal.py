"""The error of a refusal: which breaker, on what evidence, and when to come again."""

from __future__ import annotations

from typing import Any

import httpx

from ...errors import CircuitOpen
from .decisions import BreakerRejected
from .states import Reason


def refused(refusal: BreakerRejected, tripped_by: Any, request: httpx.Request) -> CircuitOpen:
    """The error that a refused caller gets."""
    return CircuitOpen(
        f"the circuit breaker of {refusal.breaker} is {_state(refusal)}. Nothing was sent; {_remedy(refusal)}",
        request=request,
        retry_after=refusal.retry_after,
        breaker=refusal.breaker,
        tripped_by=tripped_by,
    )


def _state(refusal: BreakerRejected) -> str:
    match refusal.reason:
        case "open":
            return f"open: {_cause(refusal)}"
        case "probing":
            return f"half-open, and every probe that it may send is under way: {_cause(refusal)}"
        case _:
            return "forced open by the application"


def _cause(refusal: BreakerRejected) -> str:
    total, limit = f"{refusal.total} calls within {refusal.window:g} s", f"(limit {refusal.threshold:.0%})"
    again = f", opened {refusal.trips} times in a row" if refusal.trips > 1 else ""
    match refusal.rule:
        case Reason.CONSECUTIVE_FAILURES:
            return f"failures in a row: {refusal.streak} (limit {refusal.threshold:g}){again}"
        case Reason.SLOW_CALL_RATIO:
            return f"{refusal.slow} of {total} were slow {limit}{again}"
        case _:
            return f"{refusal.failures} of {total} failed {limit}{again}"


def _remedy(refusal: BreakerRejected) -> str:
    if refusal.reason == "forced_open":
        return f"`client.circuit_breakers[{refusal.breaker!r}].reset()` closes it"
    if refusal.retry_after is None:
        return "ask again when one has come back"
    return f"ask again in {refusal.retry_after:.1f} s"
