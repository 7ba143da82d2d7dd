"""The registry of policies: what a `Policy` consists of, how its layers stand around a send, what clients show of them.

A further policy has its own folder, a field of `Policy`, a step of `CHAIN` and, where users see something of it, a
property of `Handles`. Nothing else names them all.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from types import MappingProxyType
from typing import Any, Self

import pydantic

from ..config import Part
from ..kit import Layer
from ..loading import Watch, built, environment, json_schema, read
from .circuit_breaker.config import CircuitBreaker
from .circuit_breaker.handle import BreakerView
from .circuit_breaker.policy import CircuitBreaking
from .connection import Connection
from .fallback.config import Fallback, FallbackResponse
from .fallback.policy import Fallbacks
from .outcome import Outcome
from .retry.backoff import Custom, DecorrelatedJitter, Exponential, Fibonacci, Fixed, Linear
from .retry.config import Retry, RetryBudget
from .retry.policy import Retrying
from .timeout.config import Timeout
from .timeout.policy import AttemptDeadline, TotalDeadline

__all__ = [
    "CHAIN",
    "CircuitBreaker",
    "Connection",
    "Custom",
    "DecorrelatedJitter",
    "Exponential",
    "Fallback",
    "FallbackResponse",
    "Fibonacci",
    "Fixed",
    "Handles",
    "Linear",
    "Outcome",
    "Policy",
    "PolicyWarning",
    "Retry",
    "RetryBudget",
    "Step",
    "Timeout",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One layer of the chain, and the field of `Policy` that configures it."""

    field: str
    layer: type[Layer[Any]]


CHAIN: tuple[Step, ...] = (
    Step("fallback", Fallbacks),
    Step("timeout", TotalDeadline),
    Step("retry", Retrying),
    Step("circuit_breaker", CircuitBreaking),
    Step("timeout", AttemptDeadline),
)
"""The fixed order, from the caller to the wire. Limits belong inside the retry: servers count attempts."""


class Handles:
    """What a client shows of the layers of its policy."""

    def _pipeline_layers(self) -> Mapping[Any, Layer[Any]]:
        raise NotImplementedError

    def _handle(self, kind: type[Layer[Any]]) -> Any:
        return next((layer.handle() for layer in self._pipeline_layers().values() if isinstance(layer, kind)), None)

    @property
    def circuit_breakers(self) -> Mapping[str, BreakerView]:
        """The circuit breakers: `client.circuit_breakers["https://a"].state`; empty if the policy has none."""
        found: Mapping[str, BreakerView] | None = self._handle(CircuitBreaking)
        return MappingProxyType({}) if found is None else found


class PolicyWarning(UserWarning):
    """A policy is possible, but parts of it do not fit together."""


class Policy(Part):
    """How a client sends: which parts of resilience are on, and how each is set. Safe to ship without any argument.

    Args:
        timeout: time limits. Default: 30 s for a call, 10 s for an attempt.
        retry: trying again. Default: 3 attempts, of what may be sent twice, within a budget.
        circuit_breaker: stopping to send to what fails. Default: at half of 20 or more calls in 30 s.
        fallback: what is served in place of a failure. Default: None.
        connection: pool, TLS, proxy and wire; httpx's own constructor arguments win over it.

    None (False; in files and variables also "off") switches a part off, True ("on") is the part with its defaults.

    Raises:
        ConfigurationError: if anything in it is impossible; the message names the field, the value and the remedy.
    """

    timeout: Timeout | None = Timeout()
    retry: Retry | None = Retry()
    circuit_breaker: CircuitBreaker | None = CircuitBreaker()
    fallback: Fallback | None = None
    connection: Connection = Connection()

    # -- where it comes from ---------------------------------------------------------------------------------------

    @classmethod
    def production(cls, **parts: Any) -> Self:
        """The figures that "httpx best practices for production" give; `parts` replace those of the same name.

        Connect 5, read 10, write 5, pool 2 and total 60 s; 50 connections, 20 of them kept alive for 30 s; 5 attempts,
        after waits of 1, 2, 4 and 8 s, each times a random factor from 0.8 to 1.
        """
        figures: dict[str, Any] = {
            "timeout": Timeout(total=60, attempt=10, connect=5, read=10, write=5, pool=2),
            "retry": Retry(max_attempts=5, backoff=Exponential(base=1, jitter="proportional", jitter_range=(0.8, 1.0))),
            "connection": Connection(max_connections=50, max_keepalive_connections=20, keepalive_expiry=30),
        }
        return cls(**(figures | parts))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "a dictionary") -> Self:
        """A policy from plain data, as a file has it; `source` is what an error calls it."""
        return built(cls, data, source)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Self:
        """A policy from a file: YAML (`.yaml`, `.yml`), TOML (`.toml`) or JSON (`.json`).

        Raises:
            ConfigurationError: if the file is missing, unreadable, empty or malformed, or says anything impossible.
        """
        return built(cls, read(path), f"'{path}'")

    @classmethod
    def from_env(cls, prefix: str = "SPANWIRE_") -> Self:
        """A policy from environment variables: `SPANWIRE_RETRY__MAX_ATTEMPTS=4`, `SPANWIRE_CIRCUIT_BREAKER=off`.

        Lists are separated by commas or written as JSON. Variables under the prefix that are no setting of a policy are
        left alone, unless they look like one that is misspelt.

        Raises:
            ConfigurationError: if a variable says anything impossible, or is misspelt.
        """
        return built(cls, environment(cls, prefix), "the environment", prefix)

    @classmethod
    def watch(cls, path: str | PathLike[str], interval: float = 5.0) -> Watch[Self]:
        """A policy that follows a file: clients look at it every `interval` seconds, and put what changed in force.

        A file that becomes impossible changes nothing, and is told as `spanwire.config.rejected`.

        Raises:
            ConfigurationError: as `from_file`, since at first there is no other policy to keep.
        """
        return Watch(cls, path, interval)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON schema of a policy file, for editors and checks; what only code can give is left out."""
        return json_schema(Policy)

    # -- what it says ----------------------------------------------------------------------------------------------

    @property
    def hash(self) -> str:
        """Eight hex digits, equal for equal policies in every process; without secrets, and functions by their name."""
        text = json.dumps(dict(_flat(self)), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def limits(self) -> dict[str, float]:
        """Every numeric limit by its dotted name, such as `{"circuit_breaker.failure_ratio": 0.5}`."""
        numbers = {
            name: value for name, value in _flat(self) if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return {name: value for name, value in numbers.items() if not name.startswith("fallback.")}

    def changed_from(self, other: Policy) -> tuple[str, ...]:
        """The dotted names of the settings that differ from another policy's."""
        ours, theirs = dict(_flat(self)), dict(_flat(other))
        return tuple(sorted(name for name in ours | theirs if ours.get(name, _MISSING) != theirs.get(name, _MISSING)))

    # -- whether it is possible ------------------------------------------------------------------------------------

    @pydantic.model_validator(mode="before")
    @classmethod
    def _switches(cls, data: Any) -> Any:
        return {name: _switched(value) for name, value in data.items()} if isinstance(data, dict) else data

    @pydantic.field_validator("connection", mode="before")
    @classmethod
    def _always_there(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("it cannot be switched off: leave it out for its defaults")
        return value

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in (self._attempts_that_never_start(), self._window_of_few_attempts()):
            if problem:
                warnings.warn(problem, PolicyWarning, stacklevel=4)
        return self

    def _attempts_that_never_start(self) -> str | None:
        """What waits and attempts may take, against the total. Only what was chosen counts: defaults are clamped."""
        if self.retry is None or self.timeout is None or self.timeout.total is None:
            return None
        if self.retry.model_fields_set.isdisjoint({"max_attempts", "backoff"}):
            return None
        chosen = "attempt" in self.timeout.model_fields_set
        attempt = self.timeout.attempt if chosen and self.timeout.attempt is not None else 0.0
        spent = 0.0
        for number in range(1, self.retry.max_attempts):
            spent += attempt + self.retry.backoff.bound(number)
            if spent > self.timeout.total:
                return (
                    f"of `retry.max_attempts` = {self.retry.max_attempts} only {number} fit into `timeout.total` = "
                    f"{self.timeout.total:g} s if waits and attempts take as long as they may: lower "
                    "`retry.max_attempts` or the `cap` of `retry.backoff`, or raise `timeout.total`"
                )
        return None

    def _window_of_few_attempts(self) -> str | None:
        """A window that one slow attempt outlasts judges nothing: Microsoft.Extensions.Http.Resilience asks for two."""
        if self.circuit_breaker is None or self.timeout is None or "attempt" not in self.timeout.model_fields_set:
            return None
        window, attempt = self.circuit_breaker.window, self.timeout.attempt
        if attempt is None or window >= 2 * attempt:
            return None
        return (
            f"`circuit_breaker.window` = {window:g} s is below twice `timeout.attempt` = {attempt:g} s: widen it, "
            "or slow failures go uncounted"
        )


_MISSING = object()


def _switched(value: Any) -> Any:
    """None for what switches a part off, its defaults for what switches it on."""
    text = value.strip().lower() if isinstance(value, str) else value
    if text is False or text in ("off", "false", "none", "null"):
        return None
    return {} if text is True or text in ("on", "true") else value


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name, as plain data that is the same in every process."""
    if isinstance(value, pydantic.BaseModel):
        for field in type(value).model_fields:
            yield from _flat(getattr(value, field), f"{name}.{field}".lstrip("."))
    else:
        yield name, _data(value)


def _data(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case frozenset() | set():
            return sorted(map(_data, value), key=str)
        case tuple() | list():
            return [_data(item) for item in value]
        case Mapping():
            return {str(key): _data(item) for key, item in value.items()}
        case bytes():
            return value.hex()
        case pydantic.Secret() | pydantic.SecretStr() | PathLike():
            return str(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
