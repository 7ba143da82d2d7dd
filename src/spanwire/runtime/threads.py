"""Threads of the sync colour that can be cut off from outside: the runners of a race, and background work."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from ..call import ATTEMPT
from ..errors import ClientClosed
from ..redact import untold
from .background import own_context
from .run import run

T = TypeVar("T")
_log = logging.getLogger("spanwire")
RUNNERS = 32
"""Threads that the races of one transport may have at once; one that finds none free does without an extra runner."""


class BranchLost(BaseException):
    """Ends a thread that was cut off; a `BaseException`, as cancellation is in the async colour."""


class Branch:
    """Something that waits and sends and can be cut off from another thread, with all that branches off from it.

    The trunk is the transport itself, which is cut off when it is closed.
    """

    __slots__ = ("_attempt", "_inner", "_lock", "lost")

    def __init__(self) -> None:
        self.lost = threading.Event()
        self._attempt: Any = None
        self._inner: set[Branch] = set()
        self._lock = threading.Lock()

    def grow(self) -> Branch:
        """A branch that is lost when this one is."""
        inner = Branch()
        with self._lock:
            self._inner.add(inner)
            if self.lost.is_set():
                inner.lost.set()
        return inner

    def ended(self, inner: Branch) -> None:
        """That branch has nothing more to lose."""
        with self._lock:
            self._inner.discard(inner)

    def send(self, wire: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
        """Send on this branch."""
        self._attempt = request.extensions.get(ATTEMPT)
        if self.lost.is_set():
            raise BranchLost
        try:
            return wire.handle_request(request)
        except Exception:
            if self.lost.is_set():
                raise BranchLost from None  # it did not fail: it was cut off
            raise
        finally:
            with self._lock:
                self._attempt = None  # its connection may serve somebody else from now on

    def lose(self) -> None:
        """Cut it off: its sleep ends, and so does its attempt where the wire can end it.

        A wire that is only about to connect or to send looks at `lost`, after it has written `abort`.
        """
        with self._lock:
            self.lost.set()
            inner = list(self._inner)
            attempt = self._attempt
            if attempt is not None:
                attempt.lost = True
                if attempt.abort is not None:
                    with contextlib.suppress(OSError):
                        attempt.abort()
        for branch in inner:
            branch.lose()


BRANCH: contextvars.ContextVar[Branch | None] = contextvars.ContextVar("spanwire_branch", default=None)
"""The branch that this thread works for; None in a thread of the user."""


# -- background ----------------------------------------------------------------------------------------------------


class ThreadHandle:
    """Work in one daemon thread; its sleeps end when it is cancelled or the client is closed."""

    def __init__(self, trunk: Branch, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._branch = trunk.grow()
        self._pid = os.getpid()
        context = own_context()
        context.run(BRANCH.set, self._branch)
        main = (_background, trunk, self._branch, work, name)
        self._thread = threading.Thread(target=context.run, args=main, name=f"spanwire-{name}", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End it soon; it is not waited for."""
        self._branch.lose()

    @property
    def running(self) -> bool:
        """Whether its thread is alive in this process."""
        return self._pid == os.getpid() and self._thread.is_alive()


def _background(trunk: Branch, branch: Branch, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    try:
        run(work())
    except BranchLost:
        pass
    except Exception as error:
        if not branch.lost.is_set():  # whatever it met while it was cut off is of no interest
            _log.warning("the background work %r ended by an error", name, exc_info=untold(error))
    finally:
        trunk.ended(branch)


# -- races ---------------------------------------------------------------------------------------------------------


class Runners:
    """The threads for the races of one transport: made at the first race, anew in a forked process, bounded."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def start(self, work: Callable[[], None]) -> bool:
        """Run it in a thread, in a copy of the caller's context; False if no thread is free or the client is closed."""
        pool = self._alive()
        slots = self._slots
        if not slots.acquire(blocking=False):
            return False

        def working() -> None:
            try:
                work()
            finally:
                slots.release()

        try:
            pool.submit(contextvars.copy_context().run, working)
        except RuntimeError:  # it is shut down
            slots.release()
            return False
        return True

    def _alive(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None or self._pid != os.getpid():  # threads do not survive a fork
                self._pid = os.getpid()
                self._slots = threading.BoundedSemaphore(RUNNERS)
                self._pool = ThreadPoolExecutor(RUNNERS, thread_name_prefix="spanwire-race")
            return self._pool

    def shutdown(self) -> None:
        """The threads end when they have nothing more to do; none is waited for."""
        with self._lock:
            if self._pool is not None and self._pid == os.getpid():
                self._pool.shutdown(wait=False)


@dataclass(slots=True)
class _Ended(Generic[T]):
    """What became of a runner: a value, acceptable or not, or an error."""

    index: int
    value: T | None = None
    error: BaseException | None = None
    acceptable: bool = False


class Race(Generic[T]):
    """Runners in threads that put what became of them in a queue; the caller's thread decides."""

    def __init__(
        self,
        runners: Runners,
        trunk: Branch,
        start: Callable[[int], Coroutine[Any, Any, T]],
        acceptable: Callable[[T], bool],
        discard: Callable[[T], Coroutine[Any, Any, None]],
    ) -> None:
        self._runners, self._trunk = runners, trunk
        self._start, self._acceptable, self._discard = start, acceptable, discard
        self._ended: queue.SimpleQueue[_Ended[T]] = queue.SimpleQueue()
        self._branches: list[Branch] = []
        self._own: _Ended[T] | None = None
        self._over = False
        self._lock = threading.Lock()

    def run(self, delay: float, extra: int) -> T:
        """The first acceptable result, else the first runner's own."""
        if not self._launch():
            return run(self._start(0))
        chosen: _Ended[T] | None = None
        try:
            chosen = self._decide(min(max(0.0, delay), threading.TIMEOUT_MAX), extra)
            return self._result(chosen)
        finally:
            self._finish(chosen)

    def _decide(self, delay: float, extra: int) -> _Ended[T]:
        pending = 1
        while pending or self._own is None:
            more = len(self._branches) <= extra
            try:
                ended = self._ended.get(timeout=delay if more else None)
            except queue.Empty:
                pass
            else:
                pending -= 1
                if ended.acceptable:
                    return ended
                if ended.index == 0:
                    self._own = ended
            if more and self._launch():
                pending += 1
            elif more:
                extra = 0  # no thread is free: go on with those that run
        return self._own

    def _result(self, chosen: _Ended[T]) -> T:
        if isinstance(chosen.error, BranchLost) and BRANCH.get() is None:
            raise ClientClosed("the client was closed during the call; make another client, or close it later")
        if chosen.error is not None:
            raise chosen.error
        return chosen.value  # type: ignore[return-value]

    def _launch(self) -> bool:
        index, branch = len(self._branches), self._trunk.grow()

        def work() -> None:
            BRANCH.set(branch)
            ended = self._outcome(index)
            self._trunk.ended(branch)
            self._report(ended)

        if not self._runners.start(work):
            self._trunk.ended(branch)
            return False
        self._branches.append(branch)
        return True

    def _outcome(self, index: int) -> _Ended[T]:
        ended: _Ended[T] = _Ended(index)
        try:
            ended.value = run(self._start(index))
            ended.acceptable = self._acceptable(ended.value)
        except BaseException as error:
            self._drop(ended)
            ended.error = error
        return ended

    def _report(self, ended: _Ended[T]) -> None:
        """Tell the caller; what nobody will return is discarded here."""
        with self._lock:
            wanted = not self._over and (ended.acceptable or ended.index == 0)
            if wanted:
                self._ended.put(ended)
        if not wanted:
            self._ended.put(_Ended(ended.index))
            self._drop(ended)

    def _finish(self, chosen: _Ended[T] | None) -> None:
        """Cut off whoever still runs, and discard what is there beside the chosen."""
        with self._lock:
            self._over = True
        for branch in self._branches:
            branch.lose()
        if self._own is not None and self._own is not chosen:
            self._drop(self._own)
        while not self._ended.empty():
            self._drop(self._ended.get())

    def _drop(self, ended: _Ended[T]) -> None:
        value, ended.value = ended.value, None
        if value is None:
            return
        try:
            run(self._discard(value))
        except Exception as error:
            _log.debug("what lost a race could not be discarded", exc_info=untold(error))
