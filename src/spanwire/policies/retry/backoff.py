"""How long to wait before the next attempt: pure functions of the attempt that has just failed and of a random number.

Rules of this file:
1. Attempts count from 1. `delay(1, random)` is the wait after the first failure.
2. A delay is never negative, never above `cap`, and never an error, however large the attempt.
3. `bound(attempt)` is the longest that `delay` can be.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic.json_schema import SkipJsonSchema

from ...config import Part

Jitter = Literal["full", "equal", "proportional", "none"]
Positive = Annotated[float, pydantic.Field(gt=0)]


class _Growing(Part):
    """A wait that grows from `base` to `cap` seconds, spread by `jitter`."""

    base: Positive = 0.05
    cap: Positive = 20.0
    jitter: Jitter = "full"
    jitter_range: tuple[Annotated[float, pydantic.Field(ge=0)], Annotated[float, pydantic.Field(ge=0)]] = (0.8, 1.0)

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.base > self.cap:
            raise ValueError(f"`base` = {self.base:g} is above `cap` = {self.cap:g}: lower `base`, or raise `cap`")
        if self.jitter_range[0] > self.jitter_range[1]:
            raise ValueError(f"`jitter_range` = {self.jitter_range} runs backwards: give the lower factor first")
        return self

    def _grown(self, attempt: int) -> float:
        raise NotImplementedError

    def bound(self, attempt: int) -> float:
        """The longest delay after an attempt."""
        try:
            return min(self.cap, self._grown(attempt))
        except OverflowError:
            return self.cap

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds to wait after an attempt."""
        longest = self.bound(attempt)
        match self.jitter:
            case "full":
                return random.uniform(0, longest)
            case "equal":
                return random.uniform(longest / 2, longest)
            case "proportional":
                return min(self.cap, longest * random.uniform(*self.jitter_range))
        return longest

    def throttled(self, base: float) -> Self:
        """The same for an origin that throttles: it starts from `base`, if that is longer."""
        return self.model_copy(update={"base": min(max(base, self.base), self.cap)})


class Exponential(_Growing):
    """`min(cap, base * factor^(attempt - 1))` seconds, by default with full jitter: anything from 0 to that.

    Args:
        base: the first wait before jitter, in seconds. Default 0.05.
        factor: how much longer each wait is than the one before. Default 2.
        cap: the longest wait, in seconds. Default 20.
        jitter: "full": U(0, d). "equal": d/2 + U(0, d/2). "proportional": d * U(jitter_range). "none": d.
        jitter_range: the factors of "proportional". Default (0.8, 1.0).

    Full jitter has the lowest mean and spreads best: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; the
    figures are those of the AWS SDKs of 2026.
    """

    kind: Literal["exponential"] = "exponential"
    factor: Annotated[float, pydantic.Field(ge=1)] = 2.0

    def _grown(self, attempt: int) -> float:
        return self.base * self.factor ** (attempt - 1)


class Linear(_Growing):
    """`min(cap, base * attempt)` seconds; arguments as for `Exponential`."""

    kind: Literal["linear"] = "linear"

    def _grown(self, attempt: int) -> float:
        return self.base * attempt


class Fibonacci(_Growing):
    """`min(cap, base * fibonacci(attempt))` seconds: 1, 1, 2, 3, 5 ... times `base`; arguments as for `Exponential`."""

    kind: Literal["fibonacci"] = "fibonacci"

    def _grown(self, attempt: int) -> float:
        before, wait = 0.0, self.base
        for _ in range(attempt - 1):
            before, wait = wait, before + wait
            if wait >= self.cap:
                break
        return wait


class DecorrelatedJitter(Part):
    """Each wait is `min(cap, U(base, 3 * the wait before))` seconds.

    From "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. The waits before are drawn anew, so that a delay
    depends on nothing but the attempt.

    Args:
        base: the shortest wait, in seconds. Default 0.05.
        cap: the longest wait, in seconds. Default 20.
    """

    kind: Literal["decorrelated"] = "decorrelated"
    base: Positive = 0.05
    cap: Positive = 20.0

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.base > self.cap:
            raise ValueError(f"`base` = {self.base:g} is above `cap` = {self.cap:g}: lower `base`, or raise `cap`")
        return self

    def bound(self, attempt: int) -> float:
        """The longest delay after an attempt."""
        try:
            return min(self.cap, self.base * 3.0**attempt)
        except OverflowError:
            return self.cap

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds to wait after an attempt."""
        wait = self.base
        for _ in range(min(attempt, _SETTLED)):
            wait = min(self.cap, random.uniform(self.base, 3 * wait))
        return wait

    def throttled(self, base: float) -> Self:
        """The same for an origin that throttles: it starts from `base`, if that is longer."""
        return self.model_copy(update={"base": min(max(base, self.base), self.cap)})


_SETTLED = 64
"""Draws after which the distribution of the decorrelated wait changes no more."""


class Fixed(Part):
    """The same wait every time.

    Args:
        seconds: the wait. Default 1.
    """

    kind: Literal["fixed"] = "fixed"
    seconds: Annotated[float, pydantic.Field(ge=0)] = 1.0

    def bound(self, attempt: int) -> float:
        """The longest delay after an attempt."""
        return self.seconds

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds to wait after an attempt."""
        return self.seconds

    def throttled(self, base: float) -> Self:
        """The same: what is fixed stays."""
        return self


class Custom(Part):
    """Waits that a function gives, of the attempt that has just failed, in seconds; from code only.

    Args:
        function: `function(attempt) -> seconds`. What is below zero or no number is no wait. An error in it ends the
            call with that error.
    """

    kind: Literal["custom"] = "custom"
    function: Callable[[int], float]

    def bound(self, attempt: int) -> float:
        """Not known: 0."""
        return 0.0

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds to wait after an attempt."""
        return max(0.0, float(self.function(attempt)))

    def throttled(self, base: float) -> Self:
        """The same: the function decides."""
        return self


def _kind(value: Any) -> Any:
    return value.get("kind", "exponential") if isinstance(value, dict) else getattr(value, "kind", None)


def _named(value: Any) -> Any:
    """A file may say `backoff: linear`."""
    return {"kind": value} if isinstance(value, str) else value


_Kinds = Annotated[
    Annotated[Exponential, pydantic.Tag("exponential")]
    | Annotated[DecorrelatedJitter, pydantic.Tag("decorrelated")]
    | Annotated[Linear, pydantic.Tag("linear")]
    | Annotated[Fibonacci, pydantic.Tag("fibonacci")]
    | Annotated[Fixed, pydantic.Tag("fixed")]
    | Annotated[SkipJsonSchema[Custom], pydantic.Tag("custom")],
    pydantic.Discriminator(
        _kind,
        custom_error_type="backoff",
        custom_error_message="it should be Exponential, DecorrelatedJitter, Linear, Fibonacci, Fixed or Custom, "
        "and in a file have a `kind` of exponential, decorrelated, linear, fibonacci or fixed",
    ),
]
_Word = Literal["exponential", "decorrelated", "linear", "fibonacci", "fixed"]
Backoff = Annotated[_Kinds, pydantic.BeforeValidator(_named, json_schema_input_type=_Kinds | _Word)]
"""Any of the backoffs; in files and variables told apart by `kind`, without which it is exponential."""
