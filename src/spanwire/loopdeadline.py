"""Deadlines on asyncio, at a third of the cost of `asyncio.timeout`, with its semantics.

A timer per deadline costs more than the rest of the chain together. Nearly every deadline is met, and a later one
mostly starts later, so all deadlines of a loop share one timer, which is armed once in a deadline's length.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
import weakref
from types import TracebackType
from typing import Any


class _Watch:
    """The deadlines under way on one event loop, and the time of the timer for the earliest of them.

    It holds neither its loop nor a timer, which would hold the loop: a timer that is no longer the earliest is left to
    fire for nothing.
    """

    __slots__ = ("armed", "context", "loop", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self.armed = math.inf
        self.context = contextvars.Context()  # a timer holds nothing of the call that happened to arm it
        self.waiting: dict[LoopDeadline, float] = {}

    def arm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self.armed = when
        loop.call_at(when, self._fire, loop, when, context=self.context)

    def _fire(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if when != self.armed:
            return
        now = max(when, loop.time())  # a loop may fire a timer early, by its clock's resolution
        due = [deadline for deadline, up in self.waiting.items() if up <= now]
        for deadline in due:
            del self.waiting[deadline]
        self.armed = math.inf
        if self.waiting:
            self.arm(loop, min(self.waiting.values()))
        for deadline in due:
            deadline.expire()


class _Here(threading.local):
    watch: Any = None
    """The watch of the loop that ran last in this thread; a loop that comes back gets another one."""


_here = _Here()


class LoopDeadline:
    """Cancels the task inside it when the time is up and turns that into `TimeoutError`, as `asyncio.timeout` does."""

    __slots__ = ("_before", "_seconds", "_task", "_up", "_watch")

    def __init__(self, task: asyncio.Task[Any], seconds: float) -> None:
        self._task = task
        self._seconds = seconds
        self._up = False

    def __enter__(self) -> None:
        task = self._task
        loop = task.get_loop()
        watch = _here.watch
        if watch is None or watch.loop() is not loop:
            watch = _here.watch = _Watch(loop)
        self._watch = watch
        self._before = task.cancelling()
        when = watch.waiting[self] = loop.time() + self._seconds
        if when < watch.armed:
            watch.arm(loop, when)

    def expire(self) -> None:
        self._up = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._up:
            del self._watch.waiting[self]
        elif self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error
