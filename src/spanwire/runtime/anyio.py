"""The async colour, on asyncio and trio."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, TypeVar

import anyio
import httpx

from ..errors import ClientClosed
from ..nothing import NOTHING
from .sync import _worth_draining

T = TypeVar("T")
_log = logging.getLogger("spanwire")


class AsyncRuntime:
    """The outside world of an async transport."""

    cuts = True

    def __init__(self, wire: httpx.AsyncBaseTransport, sleep: Callable[[float], Any] | None = None) -> None:
        self.send = wire.handle_async_request
        self._sleep = sleep or anyio.sleep
        self._closed = False
        self._background: list[TaskHandle] = []

    async def sleep(self, seconds: float) -> None:
        await self._sleep(seconds)
        if self._closed:
            raise ClientClosed("the client was closed while the call waited; make another client, or close it later")

    async def drain(self, response: httpx.Response, limit: int, seconds: float) -> None:
        try:
            if _worth_draining(response, limit):
                with self.deadline(seconds):
                    await _exhaust(response, limit)
        except (httpx.TransportError, TimeoutError):
            pass  # it is closed below, and its connection with it
        finally:
            await self.close(response)

    async def read(self, response: httpx.Response) -> bytes:
        return await response.aread()

    async def close(self, response: httpx.Response) -> None:
        with anyio.CancelScope(shield=True):
            await response.aclose()

    def deadline(self, seconds: float) -> AbstractContextManager[Any]:
        if seconds == math.inf:
            return NOTHING
        try:
            return LoopDeadline(asyncio.get_running_loop(), seconds)
        except RuntimeError:  # trio
            return anyio.fail_after(seconds)

    async def invoke(self, function: Callable[..., Any], *arguments: Any) -> Any:
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result

    def lock(self) -> AbstractAsyncContextManager[Any]:
        return anyio.Lock(fast_acquire=True)

    async def race(
        self, start: Callable[[int], Coroutine[Any, Any, T]], delay: float, extra: int, acceptable: Callable[[T], bool], discard: Callable[[T], Coroutine[Any, Any, None]]
    ) -> T:
        race = _Race(start, acceptable, discard)
        try:
            async with anyio.create_task_group() as group:
                await race.decide(group, delay, extra)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await race.clear()
        return race.result()

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> TaskHandle:
        handle = TaskHandle(work, name)
        self._background = [kept for kept in self._background if kept.running] + [handle]
        return handle

    def shutdown(self) -> None:
        """The client is closing: background work ends."""
        self._closed = True
        for handle in self._background:
            handle.cancel()


async def _exhaust(response: httpx.Response, limit: int) -> None:
    size = 0
    async for chunk in response.stream:  # type: ignore[union-attr]
        size += len(chunk)
        if size > limit:
            return


# -- deadlines on asyncio ------------------------------------------------------------------------------------------


class _Deadlines:
    """The deadlines under way on one event loop, with one timer for the earliest of them.

    A timer per deadline costs more than the rest of the chain together; nearly every deadline is met, and a later one
    starts later, so the timer is armed once in a deadline's length.
    """

    __slots__ = ("_armed", "_loop", "_timer", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._armed = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self.waiting: dict[LoopDeadline, float] = {}

    def add(self, deadline: LoopDeadline, when: float) -> None:
        self.waiting[deadline] = when
        if when < self._armed:
            self._arm(when)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        now = self._loop.time() + 1e-4  # timers may fire a clock's resolution early
        for deadline in [known for known, when in self.waiting.items() if when <= now]:
            del self.waiting[deadline]
            deadline.expire()
        self._armed, self._timer = math.inf, None
        if self.waiting:
            self._arm(min(self.waiting.values()))


_deadlines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Deadlines] = weakref.WeakKeyDictionary()


class LoopDeadline:
    """Cancels the task inside it when the time is up and turns that into `TimeoutError`, as `asyncio.timeout` does."""

    __slots__ = ("__weakref__", "_all", "_before", "_seconds", "_task", "_up")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        found = _deadlines.get(loop)
        if found is None:
            found = _deadlines[loop] = _Deadlines(loop)
        self._all = found
        self._seconds = seconds
        self._up = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an async client needs a task of its event loop")
        self._task = task
        self._before = task.cancelling()
        self._all.add(self, self._all._loop.time() + self._seconds)

    def expire(self) -> None:
        self._up = True
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if not self._up:
            self._all.waiting.pop(self, None)
        elif self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error


# -- background ----------------------------------------------------------------------------------------------------


class TaskHandle:
    """Work in an asyncio task or a trio system task; held strongly, ends with its loop."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._scope = anyio.CancelScope()
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            import trio

            trio.lowlevel.spawn_system_task(self._main, work, name, name=f"spanwire-{name}")
        else:
            self._task = self._loop.create_task(self._main(work, name), name=f"spanwire-{name}")
            _tasks.add(self._task)
            self._task.add_done_callback(_tasks.discard)

    async def _main(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        try:
            with self._scope:
                await work()
        except Exception:
            _log.warning("the background work %r ended by an error", name, exc_info=True)
        finally:
            self._ended = True

    def cancel(self) -> None:
        if self._loop is None:
            self._scope.cancel()
        elif not self._loop.is_closed() and not self._task.done():
            self._task.cancel()

    @property
    def running(self) -> bool:
        return not self._ended and (self._loop is None or not self._loop.is_closed())


_tasks: set[asyncio.Task[None]] = set()


# -- races ---------------------------------------------------------------------------------------------------------


class _Race:
    """Runners in a task group; what became of each is noted as it ends."""

    def __init__(self, start: Callable[[int], Coroutine[Any, Any, Any]], acceptable: Callable[[Any], bool], discard: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        self._start, self._acceptable, self._discard = start, acceptable, discard
        self._values: dict[int, Any] = {}
        self._errors: dict[int, Exception] = {}
        self._winner: int | None = None
        self._changed = anyio.Event()

    async def decide(self, group: Any, delay: float, extra: int) -> None:
        """Start runners until one has won or all have ended."""
        for index in range(extra + 1):
            group.start_soon(self._run, index)
            if await self._settled(index + 1, delay if index < extra else math.inf):
                return

    async def _settled(self, started: int, seconds: float) -> bool:
        """Whether it is decided; False at a failure or when the time is up and another runner may start."""
        with anyio.move_on_after(seconds):
            await self._changed.wait()
        last = seconds == math.inf
        while last and self._winner is None and len(self._values) + len(self._errors) < started:
            self._changed = anyio.Event()
            await self._changed.wait()
        self._changed = anyio.Event()
        return self._winner is not None

    async def _run(self, index: int) -> None:
        try:
            value = await self._start(index)
        except Exception as error:
            self._errors[index] = error
        else:
            self._values[index] = value
            if self._winner is None and self._acceptable(value):
                self._winner = index
        self._changed.set()

    async def clear(self) -> None:
        """Discard every result but the one that is returned."""
        kept = self._winner if self._winner is not None else 0
        for index, value in list(self._values.items()):
            if index != kept:
                await self._discard(value)

    def result(self) -> Any:
        kept = self._winner if self._winner is not None else 0
        if kept in self._errors:
            raise self._errors[kept]
        return self._values[kept]
