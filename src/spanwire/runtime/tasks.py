"""Work in the background of an async client, without a task group: so it works in clients that were never entered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any

from ..errors import ClientClosed
from ..redact import untold
from .background import own_context
from .protocol import Handle

Work = Callable[[], Coroutine[Any, Any, None]]
_log = logging.getLogger("spanwire")


def asyncio_task() -> asyncio.Task[Any] | None:
    """The asyncio task that this runs in; None in trio, also where trio is a guest on asyncio's loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def soon() -> Callable[[Callable[[], object]], object]:
    """What has a function called by this event loop, from any thread; `RuntimeError` once the loop has ended."""
    task = asyncio_task()
    if task is not None:
        return task.get_loop().call_soon_threadsafe
    import trio

    return trio.lowlevel.current_trio_token().run_sync_soon


def spawn(work: Work, name: str) -> Handle:
    """Start it in the event loop of the caller."""
    task = asyncio_task()
    return LoopHandle(task.get_loop(), work, name) if task is not None else TrioHandle(work, name)


async def _logged(work: Work, name: str) -> None:
    try:
        await work()
    except ClientClosed:
        pass
    except Exception as error:
        _log.warning("the background work %r ended by an error", name, exc_info=untold(error))


class LoopHandle:
    """A task on asyncio, held strongly."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Work, name: str) -> None:
        self._loop = loop
        self._pid = os.getpid()
        self._task = loop.create_task(_logged(work, name), name=f"spanwire-{name}", context=own_context())
        _held.difference_update([task for task in _held if task.get_loop().is_closed()])
        _held.add(self._task)
        self._task.add_done_callback(_held.discard)

    def cancel(self) -> None:
        """End it soon; it is not waited for. From any thread."""
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._task.cancel)

    @property
    def running(self) -> bool:
        """Whether it goes on in this process, on a loop that is not closed."""
        return not self._task.done() and not self._loop.is_closed() and self._pid == os.getpid()


_held: set[asyncio.Task[None]] = set()


class TrioHandle:
    """A system task on trio, which ends with its run."""

    def __init__(self, work: Work, name: str) -> None:
        import trio

        self._token = trio.lowlevel.current_trio_token()
        self._scope = trio.CancelScope()
        self._pid = os.getpid()
        self._ended = False
        trio.lowlevel.spawn_system_task(self._main, work, name, name=f"spanwire-{name}", context=own_context())

    async def _main(self, work: Work, name: str) -> None:
        try:
            with self._scope:
                await _logged(work, name)
        finally:
            self._ended = True

    def cancel(self) -> None:
        """End it soon; it is not waited for. From any thread."""
        with contextlib.suppress(RuntimeError):  # its run has ended
            self._token.run_sync_soon(self._scope.cancel)

    @property
    def running(self) -> bool:
        """Whether it goes on in this process."""
        return not self._ended and self._pid == os.getpid()
