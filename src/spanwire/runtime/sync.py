"""The sync colour: `async` in shape only. Nothing here suspends, so `run` needs no event loop."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import logging
import os
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import httpx

from ..call import ATTEMPT
from ..errors import ClientClosed

T = TypeVar("T")
_log = logging.getLogger("spanwire")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise RuntimeError("a policy awaited something that is not the client's runtime: await only `call(...)` and `io.*`")


class ThreadLock:
    """A thread lock in the shape of an async one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(self, *error: object) -> None:
        self._lock.release()


class _Branch:
    """One runner of a race: what it sends can be cut off from outside."""

    def __init__(self) -> None:
        self.lost = threading.Event()
        self._attempt: Any = None

    def sending(self, request: httpx.Request) -> None:
        self._attempt = request.extensions.get(ATTEMPT)
        if self.lost.is_set():
            raise BranchLost

    def lose(self) -> None:
        self.lost.set()
        abort = getattr(self._attempt, "abort", None)
        if abort is not None:
            abort()


class BranchLost(BaseException):
    """Ends a runner that lost its race; a `BaseException`, as cancellation is in the async colour."""


_branch: contextvars.ContextVar[_Branch | None] = contextvars.ContextVar("spanwire_branch", default=None)
RUNNERS = 32
"""Threads that the races of one transport may have at once; a race that finds none free goes on without its extra runner."""


class SyncRuntime:
    """The outside world of a sync transport."""

    def __init__(self, wire: httpx.BaseTransport, sleep: Callable[[float], None] | None = None) -> None:
        self._wire = wire
        self._closed = threading.Event()
        self._sleep = sleep
        self._runners: ThreadPoolExecutor | None = None
        self._slots = threading.BoundedSemaphore(RUNNERS)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._background: list[ThreadHandle] = []

    async def send(self, request: httpx.Request) -> httpx.Response:
        branch = _branch.get()
        if branch is not None:
            branch.sending(request)
        return self._wire.handle_request(request)

    async def sleep(self, seconds: float) -> None:
        if self._sleep is not None:
            return self._sleep(seconds)
        branch = _branch.get()
        if branch is not None:
            if branch.lost.wait(seconds):
                raise BranchLost
        elif self._closed.wait(seconds):
            raise ClientClosed("the client was closed while the call waited; make another client, or close it later")

    async def drain(self, response: httpx.Response, limit: int, seconds: float) -> None:
        with contextlib.suppress(httpx.TransportError), contextlib.closing(response):
            if _worth_draining(response, limit):
                _exhaust(iter(response.stream), limit)  # type: ignore[arg-type]

    async def read(self, response: httpx.Response) -> bytes:
        return response.read()

    async def close(self, response: httpx.Response) -> None:
        response.close()

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        yield

    async def invoke(self, function: Callable[..., Any], *arguments: Any) -> Any:
        result = function(*arguments)
        if inspect.iscoroutine(result):
            return run(result)
        if inspect.isawaitable(result):
            raise TypeError(f"{function!r} returned an awaitable that the sync client cannot wait for: give it a plain function")
        return result

    def lock(self) -> ThreadLock:
        return ThreadLock()

    # -- races -----------------------------------------------------------------------------------------------------

    async def race(
        self, start: Callable[[int], Coroutine[Any, Any, T]], delay: float, extra: int, acceptable: Callable[[T], bool], discard: Callable[[T], Coroutine[Any, Any, None]]
    ) -> T:
        return _Race(self, start, acceptable, discard, extra).run(delay)

    def runner(self, work: Callable[[], None]) -> bool:
        """Run in a thread of the pool; False if none is free."""
        if not self._slots.acquire(blocking=False):
            return False

        def released() -> None:
            try:
                work()
            finally:
                self._slots.release()

        self._pool().submit(contextvars.copy_context().run, released)
        return True

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._runners is None or self._pid != os.getpid():  # threads do not survive a fork
                self._runners = ThreadPoolExecutor(RUNNERS, thread_name_prefix="spanwire-race")
                self._pid = os.getpid()
            return self._runners

    # -- background ------------------------------------------------------------------------------------------------

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> ThreadHandle:
        handle = ThreadHandle(work, name)
        self._background = [kept for kept in self._background if kept.running] + [handle]
        return handle

    def shutdown(self) -> None:
        """The client is closing: whoever sleeps wakes, background work ends."""
        self._closed.set()
        for handle in self._background:
            handle.cancel()
        if self._runners is not None and self._pid == os.getpid():
            self._runners.shutdown(wait=False, cancel_futures=True)


class ThreadHandle:
    """Work in one daemon thread; its sleeps end when it is cancelled or the client is closed."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._branch = _Branch()
        self._pid = os.getpid()
        context = contextvars.Context()  # of its own: nothing of the call that happened to start it
        context.run(_branch.set, self._branch)
        self._thread = threading.Thread(target=context.run, args=(self._main, work, name), name=f"spanwire-{name}", daemon=True)
        self._thread.start()

    @staticmethod
    def _main(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        try:
            run(work())
        except BranchLost:
            pass
        except Exception:
            _log.warning("the background work %r ended by an error", name, exc_info=True)

    def cancel(self) -> None:
        self._branch.lose()

    @property
    def running(self) -> bool:
        return self._pid == os.getpid() and self._thread.is_alive()


class _Race(Generic[T]):
    """Runners in threads that put what became of them in a queue; the caller's thread decides."""

    def __init__(
        self,
        runtime: SyncRuntime,
        start: Callable[[int], Coroutine[Any, Any, T]],
        acceptable: Callable[[T], bool],
        discard: Callable[[T], Coroutine[Any, Any, None]],
        extra: int,
    ) -> None:
        self._runtime, self._start, self._acceptable, self._discard, self._extra = runtime, start, acceptable, discard, extra
        self._ended: queue.SimpleQueue[tuple[int, T | None, BaseException | None]] = queue.SimpleQueue()
        self._branches: list[_Branch] = []
        self._lock = threading.Lock()
        self._over = False

    def run(self, delay: float) -> T:
        if not self._launch():
            return run(self._start(0))
        try:
            return self._decide(delay)
        finally:
            self._finish()

    def _decide(self, delay: float) -> T:
        """The first acceptable result; the first runner's own if there is none."""
        own: tuple[T | None, BaseException | None] = (None, None)
        pending = 1
        while True:
            more = len(self._branches) <= self._extra
            try:
                index, value, error = self._ended.get(timeout=delay if more else None)
            except queue.Empty:
                pending += self._launch_or_stop()
                continue
            pending -= 1
            if error is None and self._acceptable(value):  # type: ignore[arg-type]
                return value  # type: ignore[return-value]
            own = self._set_aside(index, value, error, own)
            if more:
                pending += self._launch_or_stop()
            if not pending:
                return _result(*own)

    def _set_aside(
        self, index: int, value: T | None, error: BaseException | None, own: tuple[T | None, BaseException | None]
    ) -> tuple[T | None, BaseException | None]:
        if index == 0:
            return value, error
        if error is None:
            run(self._discard(value))  # type: ignore[arg-type]
        return own

    def _launch_or_stop(self) -> int:
        if self._launch():
            return 1
        self._extra = len(self._branches) - 1  # no thread is free: go on with those that run
        return 0

    def _launch(self) -> bool:
        branch, index = _Branch(), len(self._branches)

        def work() -> None:
            _branch.set(branch)
            self._report(index, *self._outcome(index))

        if not self._runtime.runner(work):
            return False
        self._branches.append(branch)
        return True

    def _outcome(self, index: int) -> tuple[T | None, BaseException | None]:
        try:
            return run(self._start(index)), None
        except BaseException as error:
            return None, error

    def _report(self, index: int, value: T | None, error: BaseException | None) -> None:
        with self._lock:
            late = self._over
            if not late:
                self._ended.put((index, value, error))
        if late and error is None:
            run(self._discard(value))  # type: ignore[arg-type]

    def _finish(self) -> None:
        """Cut off whoever still runs, and discard what came in beside the winner."""
        with self._lock:
            self._over = True
        for branch in self._branches:
            branch.lose()
        while not self._ended.empty():
            _, value, error = self._ended.get()
            if error is None:
                run(self._discard(value))  # type: ignore[arg-type]


def _result(value: T | None, error: BaseException | None) -> T:
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def _worth_draining(response: httpx.Response, limit: int) -> bool:
    length = response.headers.get("content-length", "")
    return not response.is_closed and not (length.isdigit() and int(length) > limit)


def _exhaust(chunks: Iterator[bytes], limit: int) -> None:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            return
