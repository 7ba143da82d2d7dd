"""What users see and do: `client.circuit_breakers["https://a"].state`, `.force_open()`, `.reset()`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from ...kit import Kit
from ...target import target_of
from .breakers import Breakers
from .core import Breaker, initial
from .states import Reason, State


class BreakerView:
    """One breaker, by its name: it shows what is true of it now, and can be told what to do before the first call."""

    __slots__ = ("_breakers", "_kit", "name")

    def __init__(self, name: str, breakers: Breakers, kit: Kit) -> None:
        self.name = name
        self._breakers = breakers
        self._kit = kit

    @property
    def state(self) -> State:
        """One of "closed", "open", "half_open", "forced_open" and "disabled"."""
        breaker = self._breaker
        return initial(self._breakers.config) if breaker is None else breaker.state

    @property
    def retry_after(self) -> float | None:
        """Seconds until it asks the origin again; None unless it is open."""
        breaker = self._breaker
        return None if breaker is None else breaker.retry_after(self._kit.clock())

    @property
    def failures(self) -> int:
        """Failed calls in the window; while it is not closed, those at which it opened."""
        return self._counts()[0]

    @property
    def calls(self) -> int:
        """Calls in the window; while it is not closed, those at which it opened."""
        return self._counts()[1]

    @property
    def tripped_by(self) -> Any:
        """The span context of the attempt that opened it, until it is closed."""
        breaker = self._breaker
        return None if breaker is None else breaker.tripped_by

    def reset(self) -> None:
        """Close it and forget what it has counted; one that is disabled stays so."""
        self._command(Reason.RESET)

    def force_open(self) -> None:
        """Refuse every call until `reset()` or `enable()`."""
        self._command(Reason.FORCED)

    def disable(self) -> None:
        """Let every call through, and count nothing, until `enable()`."""
        self._command(Reason.DISABLED)

    def enable(self) -> None:
        """Close it, if it is forced open or disabled."""
        self._command(Reason.ENABLED)

    @property
    def _breaker(self) -> Breaker | None:
        return self._breakers.peek(self.name)

    def _counts(self) -> tuple[int, int]:
        breaker = self._breaker
        return (0, 0) if breaker is None else breaker.counts(self._kit.clock())

    def _command(self, reason: Reason) -> None:
        moved = self._breakers.command(self.name, reason, self._kit.clock())
        if moved is not None:
            self._kit.signals.emit(moved)

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name} {self.state}, {self.failures} of {self.calls} calls failed>"


class CircuitBreakers(Mapping[str, BreakerView]):
    """The breakers of a client by origin, route or client name; an origin may be spelled as any URL of it.

    Iterating gives those that were used; any other can be looked up too, and `force_open()` may come before the first
    call.
    """

    def __init__(self, breakers: Breakers, kit: Kit) -> None:
        self._breakers = breakers
        self._kit = kit

    def __getitem__(self, key: str | httpx.URL) -> BreakerView:
        return BreakerView(self._name(key), self._breakers, self._kit)

    def __iter__(self) -> Iterator[str]:
        return iter([breaker.name for breaker in self._breakers.all()])

    def __len__(self) -> int:
        return len(self._breakers.all())

    def __contains__(self, key: object) -> bool:
        try:
            return isinstance(key, str | httpx.URL) and self._breakers.peek(self._name(key)) is not None
        except KeyError:
            return False

    def _name(self, key: str | httpx.URL) -> str:
        """The name of the breaker that a user means."""
        scope = self._breakers.config.scope
        if scope == "client":
            if key != self._kit.client:
                raise KeyError(f"{key!r} has no breaker: the client has one for everything, {self._kit.client!r}")
            return self._kit.client
        if scope == "route" and "://" not in str(key):
            return str(key)
        return _origin(key)

    def __repr__(self) -> str:
        shown = ", ".join(f"{view.name} {view.state}" for view in self.values())
        return f"<CircuitBreakers {shown or 'none used yet'}>"


def _origin(key: str | httpx.URL) -> str:
    try:
        url = httpx.URL(key)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if not url.scheme or not url.host:
        raise KeyError(f"{key!r} is no origin: give scheme and host, such as 'https://billing.internal'")
    return target_of(url).origin
