"""Which outcomes are tried again, how often, after which wait, and within which budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, Self

import httpx
import pydantic

from ...config import Part
from ..outcome import Outcome
from .backoff import Backoff, Exponential

Tokens = Annotated[float, pydantic.Field(gt=0)]
Status = Annotated[int, pydantic.Field(ge=100, le=599)]


def _error_class(value: object) -> type[Exception]:
    """An exception class, or the name that httpx gives it, as a file writes it."""
    found = getattr(httpx, value, None) if isinstance(value, str) else value
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    raise ValueError(f"{value!r} is not an exception class: give one such as httpx.ReadTimeout, in a file by its name")


ErrorClass = Annotated[
    type[Exception],
    pydantic.PlainValidator(_error_class, json_schema_input_type=str),
    pydantic.PlainSerializer(lambda error: error.__name__, return_type=str, when_used="json"),
]


class RetryBudget(Part):
    """How much retrying a client may do: a bucket of tokens that failing empties and succeeding fills.

    Args:
        capacity: the tokens of a full bucket, which it starts with. Default 500.
        transient_cost: tokens that a retry takes. Default 14.
        throttling_cost: tokens that a retry takes after the origin throttled. Default 5.
        success_refund: tokens that a success at the first attempt puts back. Default 1. A success at a retry puts back
            what that retry took.

    Raises:
        ConfigurationError: if a cost is above the capacity, so that nothing could ever be retried.

    The figures are those of the AWS SDKs of 2026. With 3 attempts a bucket drains where more than 22 % of the attempts
    fail (32 % where they are throttled), and then retries stop to add to the load that makes them necessary.
    """

    capacity: Tokens = 500.0
    transient_cost: Tokens = 14.0
    throttling_cost: Tokens = 5.0
    success_refund: Tokens = 1.0

    @pydantic.model_validator(mode="after")
    def _affordable(self) -> Self:
        cost = max(self.transient_cost, self.throttling_cost)
        if cost > self.capacity:
            raise ValueError(
                f"`capacity` = {self.capacity:g} is below the cost of one retry, {cost:g}: raise it, or lower the cost"
            )
        return self


class Retry(Part):
    """Trying again what failed for a reason that may pass.

    Args:
        max_attempts: attempts of one call, the first included, over all its redirects. Default 3.
        backoff: the wait between attempts. Default `Exponential(base=0.05, factor=2, cap=20, jitter="full")`.
        throttle_base: the base of the backoff, in seconds, after a 429 or a 503 with `Retry-After`, if that is longer.
            Default 1. `Fixed` and `Custom` stay as they are.
        on_status: the answers to try again. Default 408, 425, 429, 500, 502, 503, 504.
        on_exception: the errors to try again. Default every timeout, every connect, read, write and close error and a
            broken protocol of the origin's. In a file by their names in httpx.
        should_retry: `should_retry(outcome) -> bool`, plain or async, in place of `on_status`, `on_exception` and
            `x-should-retry`; it also sees what succeeded. It is not asked about refusals, nor about a used-up deadline.
        on_retry: `on_retry(attempt, outcome, delay)`, plain or async, called before each wait. An error in it ends the
            call with that error.
        respect_retry_after: whether `Retry-After`, `retry-after-ms` and `x-should-retry` are obeyed. Default True.
        max_retry_after: the longest `Retry-After`, in seconds, that is waited for; at a longer one the call gives up at
            once, since asking earlier than asked to would be no help. Default 60.
        budget: how much retrying the client may do altogether; None for any amount.
        idempotent_methods: the methods that may be sent twice. Default GET, HEAD, OPTIONS, TRACE, PUT, DELETE, QUERY.
            Others are tried again if the request has an `Idempotency-Key`, if `override(idempotent=True)` says so, or
            if it provably never reached the origin.
        generate_idempotency_key: whether a request of another method gets an `Idempotency-Key` of its own. Default
            False: it helps only with origins that know the header.
        raise_on_exhausted: whether `RetryExhausted` is raised, and not the last answer returned or the last error
            raised, when attempts, budget or time run out. Default False.
        drain_limit: bytes of a failed answer that are read so that its connection can be used again. Default 64 KiB.

    Raises:
        ConfigurationError: if a value is impossible.
    """

    max_attempts: Annotated[int, pydantic.Field(ge=1)] = 3
    backoff: Backoff = Exponential()
    throttle_base: Annotated[float, pydantic.Field(ge=0)] = 1.0
    on_status: frozenset[Status] = frozenset({408, 425, 429, 500, 502, 503, 504})
    on_exception: tuple[ErrorClass, ...] = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
    should_retry: Callable[[Outcome], bool | Awaitable[bool]] | None = None
    on_retry: Callable[[int, Outcome, float], Any] | None = None
    respect_retry_after: bool = True
    max_retry_after: Annotated[float, pydantic.Field(ge=0)] = 60.0
    budget: RetryBudget | None = RetryBudget()
    idempotent_methods: frozenset[str] = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})
    generate_idempotency_key: bool = False
    raise_on_exhausted: bool = False
    drain_limit: Annotated[int, pydantic.Field(ge=0)] = 64 * 1024

    @pydantic.field_validator("idempotent_methods")
    @classmethod
    def _upper(cls, methods: frozenset[str]) -> frozenset[str]:
        return frozenset(method.upper() for method in methods)

    @pydantic.field_validator(
        "budget", mode="before", json_schema_input_type=RetryBudget | Literal[False, "off"] | None
    )
    @classmethod
    def _switch(cls, budget: object) -> object:
        """False and "off" switch it off, from files too."""
        return None if budget is False or budget == "off" else budget
