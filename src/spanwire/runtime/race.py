"""Races of the async colour: runners in a task group."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from ..redact import untold

T = TypeVar("T")
_log = logging.getLogger("spanwire")


class Race(Generic[T]):
    """What became of each runner is noted as it ends; that wakes the task which decides."""

    def __init__(
        self,
        start: Callable[[int], Coroutine[Any, Any, T]],
        acceptable: Callable[[T], bool],
        discard: Callable[[T], Coroutine[Any, Any, None]],
    ) -> None:
        self._start, self._acceptable, self._discard = start, acceptable, discard
        self._values: dict[int, T] = {}
        self._errors: dict[int, BaseException] = {}
        self._winner: int | None = None
        self._ended = 0
        self._changed = anyio.Event()

    async def run(self, delay: float, extra: int) -> T:
        """The first acceptable result, else the first runner's own. Every other result is discarded, come what may."""
        try:
            async with anyio.create_task_group() as group:
                await self._decide(group, delay, extra)
                group.cancel_scope.cancel()
            chosen = self._winner or 0
            if chosen in self._errors:
                raise self._errors[chosen]
            await self._discard_all(but=chosen)
            return self._values.pop(chosen)
        finally:
            self._errors.clear()
            await self._discard_all()

    async def _decide(self, group: TaskGroup, delay: float, extra: int) -> None:
        """Start runners until one has won or all have ended."""
        for index in range(extra + 1):
            group.start_soon(self._runner, index)
            await self._news(delay if index < extra else math.inf)
            if self._winner is not None:
                return
        while self._winner is None and self._ended <= extra:
            await self._news(math.inf)

    async def _news(self, seconds: float) -> None:
        """Until a runner has ended, or the time is up."""
        with anyio.move_on_after(seconds):
            await self._changed.wait()
        self._changed = anyio.Event()

    async def _runner(self, index: int) -> None:
        try:
            value = self._values[index] = await self._start(index)
            if self._acceptable(value) and self._winner is None:
                self._winner = index
        except Exception as error:
            self._errors[index] = error
        except BaseException as error:
            self._errors[index] = error
            raise
        self._ended += 1
        self._changed.set()

    async def _discard_all(self, but: int | None = None) -> None:
        for index in self._values.keys() - {but}:
            with anyio.CancelScope(shield=True):
                try:
                    await self._discard(self._values.pop(index))
                except Exception as error:
                    _log.debug("what lost a race could not be discarded", exc_info=untold(error))
