"""The async colour, on asyncio and trio."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, TypeVar

import anyio
import httpx

from ..errors import ClientClosed
from ..loopdeadline import LoopDeadline
from ..nothing import NOTHING
from .protocol import Handle
from .race import Race
from .sync import worth_draining
from .tasks import asyncio_task, soon, spawn

T = TypeVar("T")


class AsyncRuntime:
    """The outside world of an async transport."""

    cuts = True

    def __init__(self, wire: httpx.AsyncBaseTransport, sleep: Callable[[float], Any] | None = None) -> None:
        self.send = wire.handle_async_request
        self._sleep = sleep
        self._closed = False
        self._asleep: set[Callable[[], object]] = set()
        self._background: list[Handle] = []

    async def sleep(self, seconds: float) -> None:
        if self._sleep is not None:
            await self._sleep(seconds)
        elif not self._closed:
            await self._rest(seconds)
        if self._closed:
            raise ClientClosed("the client was closed while the call waited; make another client, or close it later")

    async def _rest(self, seconds: float) -> None:
        """Sleep until the time is up or the client is closed, perhaps by another thread's loop."""
        closing, call = anyio.Event(), soon()

        def wake() -> None:
            call(closing.set)

        self._asleep.add(wake)
        try:
            with anyio.move_on_after(seconds):
                await closing.wait()
        finally:
            self._asleep.discard(wake)

    async def drain(self, response: httpx.Response, limit: int, seconds: float) -> None:
        try:
            with contextlib.suppress(Exception):  # nobody wants it; its connection is closed below
                if worth_draining(response, limit):
                    with self.deadline(seconds):
                        await _exhaust(response, limit)
        finally:
            with contextlib.suppress(Exception):
                await self.close(response)

    async def read(self, response: httpx.Response) -> bytes:
        return await response.aread()

    async def close(self, response: httpx.Response) -> None:
        with anyio.CancelScope(shield=True):
            await response.aclose()

    def deadline(self, seconds: float) -> AbstractContextManager[Any]:
        if seconds == math.inf:
            return NOTHING
        task = asyncio_task()
        return LoopDeadline(task, seconds) if task is not None else anyio.fail_after(seconds)

    async def invoke(self, function: Callable[..., Any], *arguments: Any) -> Any:
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result

    def lock(self) -> AbstractAsyncContextManager[Any]:
        return anyio.Lock(fast_acquire=True)

    async def race(
        self,
        start: Callable[[int], Coroutine[Any, Any, T]],
        delay: float,
        extra: int,
        acceptable: Callable[[T], bool],
        discard: Callable[[T], Coroutine[Any, Any, None]],
    ) -> T:
        return await Race(start, acceptable, discard).run(delay, extra)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> Handle:
        handle = spawn(work, name)
        self._background = [kept for kept in self._background if kept.running] + [handle]
        return handle

    def shutdown(self) -> None:
        """The client is closing: whoever sleeps wakes, background work ends."""
        self._closed = True
        for wake in list(self._asleep):
            with contextlib.suppress(RuntimeError):  # its loop has ended
                wake()
        for handle in self._background:
            handle.cancel()


async def _exhaust(response: httpx.Response, limit: int) -> None:
    size = 0
    chunks = aiter(response.stream)  # type: ignore[arg-type]
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                return
    finally:
        if inspect.isasyncgen(chunks):  # one that is left alone wants its event loop to be finalised
            await chunks.aclose()
