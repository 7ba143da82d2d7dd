"""Every error that spanwire raises: a mix-in over httpx's tree, so `except httpx.X` keeps working.

A message says what was decided, on what evidence, and what to do. It never holds a URL's credentials or
query, a header or a body. All of them pickle, with their evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from .report import Report


class SpanwireError(Exception):
    """The mark of every error that spanwire itself raises; `report` tells the call that ended so, if there was one."""

    report: Report | None = None


class ConfigurationError(SpanwireError, ValueError):
    """A policy, file, variable or argument is impossible; the message names the field, the value and the remedy."""


class StoreError(SpanwireError):
    """A shared store (cache, limiter, breaker view) cannot be used."""


class _Sent(SpanwireError):
    """What the errors of a call share: `request` may be missing, and evidence survives pickling."""

    def __init__(self, message: str, *, request: httpx.Request | None = None, **evidence: Any) -> None:
        httpx.RequestError.__init__(self, message, request=request)  # type: ignore[arg-type]
        self.__dict__.update(evidence)

    def __reduce__(self) -> tuple[Any, ...]:
        kept = {name: value for name, value in self.__dict__.items() if name not in ("_request", "__notes__")}
        return _rebuild, (type(self), str(self), kept)

    @classmethod
    def _of(cls, message: str, evidence: dict[str, Any]) -> Self:
        error = cls(message)
        error.__dict__.update(evidence)
        return error


def _rebuild(cls: type[_Sent], message: str, evidence: dict[str, Any]) -> _Sent:
    return cls._of(message, evidence)


class Rejected(_Sent, httpx.TransportError):
    """A policy refused the call before anything was sent: nothing to judge, nothing to retry on the same endpoint."""

    retry_after: float | None = None
    """Seconds until asking again makes sense, where that is known."""


class CircuitOpen(Rejected):
    """The circuit breaker refused.

    `breaker` names it, `retry_after` is in seconds, `tripped_by` is the span context of the attempt that opened it.
    """

    breaker: str = ""
    tripped_by: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, (cls, message, kept) = super().__reduce__()
        kept.pop("tripped_by", None)  # a span context of this process's SDK: its ids stand in the report
        return rebuild, (cls, message, kept)


class RateLimited(Rejected):
    """A rate limit would have made the call wait longer than it may."""


class ConcurrencyLimited(Rejected):
    """No slot of a concurrency limit came free in time."""


class NoEndpointAvailable(Rejected):
    """Every endpoint is unavailable; the message names each and why."""


class DeadlineExceeded(_Sent, httpx.TimeoutException):
    """The call's total time is used up. `total` is in seconds, `phase` names what used most of it, `phases` all."""

    total: float = 0.0
    phase: str = ""
    phases: Mapping[str, float] = MappingProxyType({})


class AttemptTimeout(_Sent, httpx.TimeoutException):
    """One attempt took longer than `Timeout.attempt` seconds; the next may still succeed. `seconds` is that limit."""

    seconds: float = 0.0


class RetryExhausted(_Sent, httpx.TransportError):
    """No attempt succeeded, and `Retry.raise_on_exhausted` asks for an error.

    `response` is the last answer, `reason` says why no further attempt was made.
    """

    reason: str = ""
    response: httpx.Response | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, (cls, message, kept) = super().__reduce__()
        kept.pop("response", None)  # holds a connection
        return rebuild, (cls, message, kept)


class AuthenticationFailed(_Sent, httpx.TransportError):
    """Credentials cannot be had. An origin's own 401 stays a response."""


class ClientClosed(SpanwireError, RuntimeError):
    """The client was closed while the call waited."""
