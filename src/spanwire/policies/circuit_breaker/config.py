"""What users write: when the breaker opens, for how long, and how it tries again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

import pydantic
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from ...config import Mode, Part
from ..outcome import Outcome

Scope = Literal["endpoint", "origin", "route", "client"]
"""What has a breaker of its own."""


class CircuitBreaker(Part):
    """Stops sending to an origin that fails, and tries it again with a few probes.

    It stands inside the retry and judges every attempt, at its response headers: answers of 500 and more and
    `httpx.TransportError` are failures. Cancellations, refusals by spanwire itself, `httpx.PoolTimeout` and errors
    that say nothing of the origin (`httpx.UnsupportedProtocol`, `httpx.LocalProtocolError`) count for nothing.
    All rules that are set are active, and the first to be met opens it: only a failure or a slow call does, never a
    success. While it is open, calls end in `CircuitOpen` without being sent.

    Args:
        failure_ratio: opens when this share of the calls in the window failed, given `min_calls`. Default 0.5.
        window: seconds for which a call counts, in ten exact buckets. Default 30.
        min_calls: calls in the window below which no ratio opens it. Default 20.
        consecutive_failures: opens after so many failures in a row, beside the ratio. Default: off.
        slow_call_ratio: opens when this share of the calls in the window was slow, given `min_calls`. Default: off.
        slow_call_duration: seconds to the response headers from which a call is slow; a slow probe is a failed one.
            Default: off.
        break_duration: seconds for which it refuses at first, and up to 20 % more. A `Retry-After` of the answer that
            opened it is a floor, up to `max_break_duration`. Default 5.
        max_break_duration: seconds up to which the break doubles at each further opening, jitter apart; after a full
            window closed it begins at `break_duration` again. Default 60.
        half_open_max_calls: probes that may be under way at once: 1 at first, 2 after one success, 4 after three, up to
            this. Further calls are refused meanwhile, they do not wait. Default 4.
        success_threshold: probes that must succeed for it to close, however many run at once; one that fails opens it
            again. Default 2.
        scope: what has a breaker of its own: "endpoint", "origin", "route" (the origin where the route is not known) or
            "client". Default None: "endpoint" where there is balancing, else "origin".
        mode: "enforce", "observe" (decides and tells, refuses nothing) or "disabled". Default "enforce".
        count_429: whether an answer of 429 is a failure. Default False: that origin is well, and asks for less.
        is_failure: `is_failure(outcome) -> bool`, plain, in place of the rule for failures and of `count_429`. It is
            not asked about what counts for nothing. An error in it ends the call with that error.
        max_breakers: breakers that are kept; beyond that the least recently used goes, if it refuses nobody and nothing
            is in flight. Default 1024.

    Raises:
        ConfigurationError: if a value is impossible, or does nothing without another.

    The ratio over a window is that of Polly and resilience4j, the rule for slow calls resilience4j's, the growing break
    Finagle's, the floor by `Retry-After` Linkerd's. The jitter is upward only: no break is shorter than asked for.
    """

    failure_ratio: float = Field(default=0.5, gt=0, le=1)
    window: float = Field(default=30.0, ge=0.001)
    min_calls: int = Field(default=20, ge=1)
    consecutive_failures: int | None = Field(default=None, ge=1)
    slow_call_ratio: float | None = Field(default=None, gt=0, le=1)
    slow_call_duration: float | None = Field(default=None, gt=0)
    break_duration: float = Field(default=5.0, gt=0)
    max_break_duration: float = Field(default=60.0, gt=0)
    half_open_max_calls: int = Field(default=4, ge=1)
    success_threshold: int = Field(default=2, ge=1)
    scope: Scope | None = None
    mode: Mode = "enforce"
    count_429: bool = False
    is_failure: SkipJsonSchema[Callable[[Outcome], bool] | None] = Field(default=None, exclude=True)
    max_breakers: int = Field(default=1024, ge=1)

    @pydantic.model_validator(mode="after")
    def _possible(self) -> Self:
        if self.slow_call_ratio is not None and self.slow_call_duration is None:
            raise ValueError(
                f"`slow_call_ratio` = {self.slow_call_ratio:g} needs to know what slow is: "
                "give `slow_call_duration` in seconds"
            )
        if self.slow_call_duration is not None and self.slow_call_ratio is None:
            raise ValueError(
                f"`slow_call_duration` = {self.slow_call_duration:g} does nothing alone: "
                "give `slow_call_ratio`, the share of slow calls that opens the breaker"
            )
        if self.break_duration > self.max_break_duration:
            raise ValueError(
                f"`break_duration` = {self.break_duration:g} is longer than `max_break_duration` = "
                f"{self.max_break_duration:g}: raise `max_break_duration`, or shorten `break_duration`"
            )
        return self
