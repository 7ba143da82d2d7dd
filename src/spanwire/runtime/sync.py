"""The sync colour: `async` in shape only. Nothing here suspends, so `run` needs no event loop."""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import httpx

from ..errors import ClientClosed
from ..nothing import NOTHING
from ..wire.fork import renew_after_fork
from .run import run
from .threads import BRANCH, Branch, BranchLost, Race, Runners, ThreadHandle

__all__ = ["SyncRuntime", "run"]

T = TypeVar("T")


class ThreadLock:
    """A thread lock in the shape of an async one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(self, *error: object) -> None:
        self._lock.release()


class SyncRuntime:
    """The outside world of a sync transport."""

    cuts = False

    def __init__(self, wire: httpx.BaseTransport, sleep: Callable[[float], None] | None = None) -> None:
        self._wire = wire
        self._sleep = sleep
        self._trunk = Branch()
        self._runners = Runners()
        renew_after_fork(self)

    def renew(self) -> None:
        """In a forked child: the parent's threads are not here, neither at work nor to release a lock."""
        closed, self._trunk, self._runners = self._trunk.lost.is_set(), Branch(), Runners()
        if closed:
            self.shutdown()

    async def send(self, request: httpx.Request) -> httpx.Response:
        branch = BRANCH.get()
        return self._wire.handle_request(request) if branch is None else branch.send(self._wire, request)

    async def sleep(self, seconds: float) -> None:
        branch = BRANCH.get()
        lost = (branch or self._trunk).lost
        if self._sleep is not None:
            self._sleep(seconds)
            seconds = 0
        if lost.wait(min(seconds, threading.TIMEOUT_MAX)):
            if branch is not None:
                raise BranchLost
            raise ClientClosed("the client was closed while the call waited; make another client, or close it later")

    async def drain(self, response: httpx.Response, limit: int, seconds: float) -> None:
        with contextlib.suppress(Exception), contextlib.closing(response):
            if worth_draining(response, limit):
                _exhaust(iter(response.stream), limit, time.monotonic() + seconds)  # type: ignore[arg-type]

    async def read(self, response: httpx.Response) -> bytes:
        return response.read()

    async def close(self, response: httpx.Response) -> None:
        response.close()

    def deadline(self, seconds: float) -> AbstractContextManager[None]:
        return NOTHING

    async def invoke(self, function: Callable[..., Any], *arguments: Any) -> Any:
        result = function(*arguments)
        if inspect.iscoroutine(result):
            return run(result)
        if inspect.isawaitable(result):
            raise TypeError(
                f"{function!r} returned an awaitable that the sync client cannot wait for: give it a plain function"
            )
        return result

    def lock(self) -> ThreadLock:
        return ThreadLock()

    async def race(
        self,
        start: Callable[[int], Coroutine[Any, Any, T]],
        delay: float,
        extra: int,
        acceptable: Callable[[T], bool],
        discard: Callable[[T], Coroutine[Any, Any, None]],
    ) -> T:
        return Race(self._runners, BRANCH.get() or self._trunk, start, acceptable, discard).run(delay, extra)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> ThreadHandle:
        return ThreadHandle(self._trunk, work, name)

    def shutdown(self) -> None:
        """The client is closing: whoever sleeps wakes, races and background work end."""
        self._trunk.lose()
        self._runners.shutdown()


def worth_draining(response: httpx.Response, limit: int) -> bool:
    """Whether a body may be short enough to be read to its end."""
    length = response.headers.get("content-length", "")
    return not response.is_closed and not (length.isdigit() and int(length) > limit)


def _exhaust(chunks: Iterator[bytes], limit: int, until: float) -> None:
    """Read to the end, unless that is too far; one chunk may take as long as the read timeout allows."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit or time.monotonic() > until:
            return
