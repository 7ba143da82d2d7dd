"""The decision tree of one call, for people and programs: `print(spanwire.report(response))`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from .call import Attempt, Call
from .decisions import Decision
from .redact import redacted

REPORT = "spanwire"
"""The key of the `Report` in `response.extensions`."""


class Report:
    """What became of one call and why. Nothing in it is secret: no header, body, credential or query value."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def client(self) -> str:
        """The client's name."""
        return self._call.client

    @property
    def method(self) -> str:
        return self._call.method

    @property
    def url(self) -> str:
        """The URL that was asked for, redacted."""
        return redacted(self._call.url)

    @property
    def outcome(self) -> str | None:
        """success | failure | rejected | cached | fallback | cancelled, or None while the call is under way."""
        return self._call.outcome

    @property
    def error(self) -> str | None:
        """The status of a failed answer or the class of the error."""
        return self._call.error

    @property
    def duration(self) -> float:
        """Seconds from the call's start to its end, or to now."""
        return self._call.duration

    @property
    def attempts(self) -> Sequence[Attempt]:
        """The requests that went out, in order."""
        return tuple(self._call.attempts)

    @property
    def decisions(self) -> Sequence[Decision]:
        """The decisions that were taken, in order."""
        return tuple(decision for _, decision in self._call.decisions)

    @property
    def phases(self) -> Mapping[str, float]:
        """Seconds by phase; they add up to the duration."""
        return dict(self._call.phases)

    @property
    def trace_id(self) -> str | None:
        """The trace to look for, as 32 hex digits; None where nobody traces."""
        return f"{self._call.trace_id:032x}" if self._call.trace_id else None

    def as_dict(self) -> dict[str, Any]:
        """The whole report as JSON-compatible data."""
        return {
            "client": self.client, "method": self.method, "url": self.url, "route": self._call.route,
            "outcome": self.outcome, "error": self.error, "duration": round(self.duration, 6),
            "trace_id": self.trace_id, "policy": self._call.policy_hash,
            "attempts": [self._attempt(attempt) for attempt in self.attempts],
            "decisions": [
                {"at": round(at, 6), "name": decision.NAME, **decision.evidence()}
                for at, decision in self._call.decisions
            ],
            "phases": {name: round(seconds, 6) for name, seconds in self.phases.items()},
        }  # fmt: skip

    def _attempt(self, attempt: Attempt) -> dict[str, Any]:
        ended = attempt.ended or self._call.clock()
        return {
            "number": attempt.number, "kind": attempt.kind, "endpoint": attempt.endpoint,
            "status": attempt.status, "error": attempt.error,
            "at": round(attempt.started - self._call.started, 6), "duration": round(ended - attempt.started, 6),
            "pool_wait": round(attempt.pool_wait, 6), "connect": attempt.connect and round(attempt.connect, 6),
        }  # fmt: skip

    def __str__(self) -> str:
        from .tree import drawn

        return drawn(self.as_dict())

    def __repr__(self) -> str:
        ended = f"{self.outcome or 'under way'} {len(self.attempts)} attempts {self.duration:.3f} s"
        return f"<Report {self.method} {self.url} {ended}>"


def report(of: httpx.Response | BaseException) -> Report:
    """The report of the call that a response or an error ended.

    Raises:
        LookupError: if it did not come from a spanwire client or transport.
    """
    if isinstance(of, httpx.HTTPStatusError):
        of = of.response
    found = of.extensions.get(REPORT) if isinstance(of, httpx.Response) else getattr(of, "report", None)
    if not isinstance(found, Report):
        raise LookupError(f"{type(of).__name__} carries no report: it did not come from a spanwire client or transport")
    return found
