"""What a faulty origin has seen, in numbers that another thread can wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from .answers import Seen


class Tally:
    """The numbers of an origin; one thread counts, others look and wait."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        """The requests, in the order in which they came."""
        self.connections = 0
        """Connections accepted so far."""
        self.open_connections = 0
        self.held = 0
        """Requests that wait for `release()`."""
        self.abandoned = 0
        """Requests whose client went away while they were held or delayed."""
        self.most_concurrent = 0
        """The most requests that were under way at once."""
        self._concurrent = 0
        self._changed = threading.Condition()

    def until(self, condition: Callable[[Self], object], seconds: float = 5.0) -> None:
        """Wait until something is true of it: `origin.until(lambda it: it.held == 2)`.

        Raises:
            TimeoutError: if it is not within these seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), seconds):
                raise TimeoutError(f"{self!r} has not come to what was waited for in {seconds:g} s")

    def _count(self, **changes: int) -> None:
        with self._changed:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)
            self.most_concurrent = max(self.most_concurrent, self._concurrent)
            self._changed.notify_all()

    def _came(self, seen: Seen) -> None:
        self.requests.append(seen)
        self._count(_concurrent=1)

    def _left(self) -> None:
        self._count(_concurrent=-1)

    def __repr__(self) -> str:
        seen = f"{len(self.requests)} requests on {self.connections} connections"
        return f"<{type(self).__name__} {seen}, {self.open_connections} open, {self.held} held>"
