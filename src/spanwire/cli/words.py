"""Decisions, times and statuses in words, short enough for a line of a terminal."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ..decisions import ENFORCED, Attribute, Decision, Value, described

TIMES, NOTHING = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
_REASON = "spanwire.reason"
_BREAKER = "spanwire.circuit_breaker.name"
_LEFT, _ENTERED = "spanwire.circuit_breaker.from", "spanwire.circuit_breaker.to"
_HEADLINE = frozenset({_REASON, _BREAKER, _LEFT, _ENTERED, ENFORCED.key})
_LAST = ("attempt", "generation", "slow", "consecutive_failures", "trips", "succeeded")
"""Pieces of evidence that say little by themselves."""


def seconds(value: float) -> str:
    """A duration: `0.4 ms`, `48 ms`, `1.25 s`."""
    if value >= 0.9995:
        return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"
    return f"{value * 1000:.1f} ms" if value < 0.00995 else f"{value * 1000:.0f} ms"


def status(code: int) -> str:
    """A status with its name: `503 Service Unavailable`."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def plural(count: int, noun: str) -> str:
    """`1 attempt`, `2 attempts`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def title(decision: Decision) -> str:
    """What was decided and why: `retry scheduled: throttled`, `circuit breaker closed → open: failure ratio`."""
    evidence = decision.evidence()
    _, policy, what = decision.NAME.split(".", 2)
    left, entered = evidence.get(_LEFT), evidence.get(_ENTERED)
    named = f"{left} → {entered}" if left and entered else what
    why = evidence.get(_REASON)
    observed = "" if decision.enforced else " (only observed)"
    return _spaced(f"{policy} {named}{f': {why}' if why else ''}{observed}")


def evidence(decision: Decision) -> list[str]:
    """What it was decided on, piece by piece: `delay 48 ms`, `failures 12`."""
    kind: Any = type(decision)
    known = {attribute.key: attribute for attribute in described(kind).values()}
    told = [(key, value) for key, value in decision.evidence().items() if key not in _HEADLINE]
    named = sorted(((key.rsplit(".", 1)[-1], _value(value, known[key])) for key, value in told), key=_weight)
    return [f"{_spaced(name)} {value}" for name, value in named]


def _weight(piece: tuple[str, str]) -> bool:
    return piece[0] in _LAST


def _spaced(name: str) -> str:
    return name.replace("_", " ").replace(".", " ")


def _value(value: Value, attribute: Attribute) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return _spaced(value) if attribute.values else value
    if isinstance(value, tuple):
        return ", ".join(value)
    if attribute.unit == "s":
        return seconds(value)
    return f"{value:.3g}" if isinstance(value, float) and value < 1000 else f"{value:.0f}"
