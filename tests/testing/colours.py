"""The three colours in the same words: what a test says once runs in sync, on asyncio and on trio.

In none of them does anything move between two `run`s, background threads of the sync colour excepted.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import queue
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import anyio
import httpx
import outcome
import trio

import spanwire
from spanwire.runtime.anyio import AsyncRuntime
from spanwire.runtime.sync import SyncRuntime
from spanwire.runtime.sync import run as run_sync
from spanwire.wire import async_wire, sync_wire


class Colour:
    """One colour; a context manager that closes its clients and its event loop. This one is sync."""

    name = "sync"
    is_async = False

    def __init__(self) -> None:
        self._clients: list[Any] = []
        self._runtimes: list[AsyncRuntime | SyncRuntime] = []

    # -- clients -----------------------------------------------------------------------------------------------------

    def client(self, **arguments: Any) -> Any:
        """A `Client` or an `AsyncClient`, closed at the end of the test."""
        client = (spanwire.AsyncClient if self.is_async else spanwire.Client)(**arguments)
        self._clients.append(client)
        return client

    def request(self, client: Any, method: str, url: str, **arguments: Any) -> httpx.Response:
        """Send a request and read its response."""
        response: httpx.Response = self.run(client.request(method, url, **arguments))
        return response

    def get(self, client: Any, url: str, **arguments: Any) -> httpx.Response:
        """Send a GET and read its response."""
        return self.request(client, "GET", url, **arguments)

    def many(self, client: Any, url: str, count: int, **arguments: Any) -> list[Any]:
        """That many GETs at once; the responses or errors."""
        return self.at_once([lambda: client.get(url, **arguments)] * count)

    def close(self, client: Any) -> None:
        """Close a client, before the end of the test."""
        self.run(client.aclose() if self.is_async else client.close())

    # -- runtimes ----------------------------------------------------------------------------------------------------

    def runtime(self, wire: Any = None, sleep: Any = None) -> Any:
        """The runtime of a transport, shut down at the end of the test; without a wire it answers 200 by itself."""
        wire = wire or httpx.MockTransport(lambda request: httpx.Response(200))
        runtime = AsyncRuntime(wire, sleep) if self.is_async else SyncRuntime(wire, sleep)
        self._runtimes.append(runtime)
        return runtime

    def wire(self, name: str = "httpcore2", **arguments: Any) -> Any:
        """A wire, closed at the end of the test."""
        wire = (async_wire if self.is_async else sync_wire)(name, **arguments)
        self._clients.append(wire)
        return wire

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, value: Any) -> Any:
        """A plain value, or what an awaitable comes to: `colour.run(client.get(url))`."""
        return run_sync(value) if inspect.iscoroutine(value) else value

    def at_once(self, thunks: list[Callable[[], Any]]) -> list[Any]:
        """Call functions, plain or async as the colour has it, at the same time; their results or errors."""

        def one(thunk: Callable[[], Any]) -> Any:
            try:
                return self.run(thunk())
            except Exception as error:
                return error

        contexts = [contextvars.copy_context() for _ in thunks]
        with ThreadPoolExecutor(len(thunks)) as threads:
            return list(threads.map(lambda context, thunk: context.run(one, thunk), contexts, thunks))

    def sleep(self, seconds: float) -> None:
        """Let real time pass, and the event loop run meanwhile."""
        time.sleep(seconds)

    def until(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Let the event loop run, and threads, until something is true; an `AssertionError` if it is not in time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not true within {seconds:g} s: {inspect.getsource(condition).strip()}"
            self.sleep(0.001)

    # -- its life ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for runtime in self._runtimes:
            runtime.shutdown()
        for client in reversed(self._clients):
            self.close(client)
        self._end()

    def _end(self) -> None:
        """End the event loop."""

    def __repr__(self) -> str:
        return f"<Colour {self.name}>"


class _Async(Colour):
    is_async = True

    def at_once(self, thunks: list[Callable[[], Any]]) -> list[Any]:
        found: list[Any] = [None] * len(thunks)

        async def one(number: int) -> None:
            try:
                found[number] = await thunks[number]()
            except Exception as error:
                found[number] = error

        async def all_of_them() -> None:
            async with anyio.create_task_group() as group:
                for number in range(len(thunks)):
                    group.start_soon(one, number)

        self.run(all_of_them())
        return found

    def sleep(self, seconds: float) -> None:
        self.run(anyio.sleep(seconds))


class Asyncio(_Async):
    """An asyncio loop that goes on from one `run` to the next."""

    name = "asyncio"

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()

    def run(self, value: Any) -> Any:
        if not inspect.isawaitable(value):
            return value
        return self._runner.run(_awaited(value), context=contextvars.copy_context())

    def _end(self) -> None:
        self._runner.close()


class Trio(_Async):
    """A trio run that goes on from one `run` to the next: a guest in this thread, which hosts it while it waits."""

    name = "trio"

    def __init__(self) -> None:
        super().__init__()
        self._ready: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._ended: list[outcome.Outcome[Any]] = []
        self._started = False
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._ready.put,
            done_callback=self._ended.append,
            restrict_keyboard_interrupt_to_checkpoints=True,
        )
        self._host(lambda: self._started)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            self._started = True
            await trio.sleep_forever()

    def run(self, value: Any) -> Any:
        if not inspect.isawaitable(value):
            return value
        context = contextvars.copy_context()
        result: list[outcome.Outcome[Any]] = []
        self._token.run_sync_soon(lambda: context.run(self._nursery.start_soon, self._one, value, result))
        self._host(lambda: result)
        return result[0].unwrap()

    async def _one(self, value: Awaitable[Any], result: list[outcome.Outcome[Any]]) -> None:
        result.append(await outcome.acapture(_awaited, value))

    def _host(self, until: Callable[[], object]) -> None:
        while not until():
            self._ready.get()()

    def _end(self) -> None:
        self._token.run_sync_soon(self._nursery.cancel_scope.cancel)
        self._host(lambda: self._ended)
        self._ended[0].unwrap()


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


COLOURS: dict[str, type[Colour]] = {"sync": Colour, "asyncio": Asyncio, "trio": Trio}
Story = Callable[..., Coroutine[Any, Any, Any]]
