"""A clock for tests: `Client(clock=FakeClock())` waits, and no time passes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from ..runtime.background import BACKGROUND
from ..runtime.threads import BRANCH


class FakeClock:
    """Seconds that stand still until somebody sleeps or advances them: `clock()` tells them.

    A call that waits (for its backoff, its rate limit) moves the clock on and returns at once. Background work sleeps
    until the clock gets there, by `advance` or by a call's wait. Whatever waits for a socket takes real time, as do the
    timeouts of an async client, which its event loop keeps: for those use `VirtualTime`.

    Args:
        start: what it shows first.
    """

    def __init__(self, start: float = 1000.0) -> None:
        self.now = start
        self.sleeps: list[float] = []
        """The seconds that calls have waited, in order."""
        self._moved = threading.Condition()
        self._alarms: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on; background work whose time has come wakes. From any thread."""
        with self._moved:
            self.now += seconds
            due = [ring for when, ring in self._alarms if when <= self.now]
            self._alarms = [alarm for alarm in self._alarms if alarm[0] > self.now]
            self._moved.notify_all()
        for ring in due:
            with contextlib.suppress(RuntimeError):  # its event loop has ended
                ring()

    def sleep(self, seconds: float) -> None:
        """The sync client's sleep."""
        if BACKGROUND.get():
            self._block(self.now + seconds)
        else:
            self._pass(seconds)

    async def asleep(self, seconds: float) -> None:
        """The async client's sleep: other tasks get their turn, and cancellation its chance, as in a real one."""
        import anyio.lowlevel

        if BACKGROUND.get():
            await self._suspend(self.now + seconds)
        else:
            self._pass(seconds)
            await anyio.lowlevel.checkpoint()

    def _pass(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(max(0.0, seconds))

    def _block(self, until: float) -> None:
        branch = BRANCH.get()
        with self._moved:
            while self.now < until and not (branch and branch.lost.is_set()):
                self._moved.wait(0.02)  # nobody notifies of a branch that is lost

    async def _suspend(self, until: float) -> None:
        import anyio.lowlevel

        from ..runtime.tasks import soon

        rung, call = anyio.Event(), soon()
        alarm = (until, lambda: call(rung.set))
        with self._moved:
            waits = self.now < until
            if waits:
                self._alarms.append(alarm)
        try:
            await (rung.wait() if waits else anyio.lowlevel.checkpoint())
        finally:
            with self._moved:
                self._alarms = [kept for kept in self._alarms if kept is not alarm]

    def __repr__(self) -> str:
        return f"<FakeClock {self.now:g}>"
