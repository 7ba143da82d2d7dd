"""An asyncio loop in virtual time, to see what falls on which tick."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from spanwire.loopdeadline import LoopDeadline


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when there is nothing else to do."""

    now = 0.0
    timers = 0

    def time(self) -> float:
        return self.now

    def call_at(self, *arguments: Any, **named: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*arguments, **named)

    def _run_once(self) -> None:
        due = [handle._when for handle in self._scheduled if not handle._cancelled]  # type: ignore[attr-defined]
        if due and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, min(due))
        super()._run_once()  # type: ignore[misc]


def run(story: Coroutine[Any, Any, Any]) -> tuple[Any, VirtualLoop]:
    """What a story comes to in virtual time, and the loop that it ran on, closed. Complaints of the loop are errors."""
    complaints: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        result = runner.run(story)
    assert not complaints
    assert isinstance(loop, VirtualLoop)
    return result, loop


def deadline(seconds: float) -> LoopDeadline:
    task = asyncio.current_task()
    assert task
    return LoopDeadline(task, seconds)
