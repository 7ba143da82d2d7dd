"""A wire under a plain httpx client, driven in the same words whatever its colour: sync, asyncio, trio, aiohttp."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self

import anyio
import anyio.from_thread
import httpx

from spanwire.wire import async_wire, sync_wire

COLOURS = ("sync", "asyncio", "trio", "aiohttp")


class Wire:
    """One transport and its client; the async ones live on an event loop of their own."""

    def __init__(self, colour: str, name: str | None = None, **arguments: Any) -> None:
        self.colour = colour
        name = name or ("aiohttp" if colour == "aiohttp" else "httpcore2")
        arguments.setdefault("verify", False)  # to load all the world's authorities takes longer than most tests
        self._stack = contextlib.ExitStack()
        self._threads: ThreadPoolExecutor | None = None
        if colour == "sync":
            self.transport: Any = sync_wire(name, **arguments)
            self.client: Any = self._stack.enter_context(httpx.Client(transport=self.transport, trust_env=False))
        else:
            portal = anyio.from_thread.start_blocking_portal(backend="trio" if colour == "trio" else "asyncio")
            self._portal = self._stack.enter_context(portal)
            self.transport = async_wire(name, **arguments)
            client = httpx.AsyncClient(transport=self.transport, trust_env=False)
            self.client = self._stack.enter_context(self._portal.wrap_async_context_manager(client))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call it, and await what it returns where this colour awaits."""
        if self.colour == "sync":
            return function(*arguments, **named)
        return self._portal.call(partial(function, *arguments, **named))

    def send(self, method: str, url: str, *, stream: bool = False, **options: Any) -> httpx.Response:
        request = self.client.build_request(method, url, **options)
        response: httpx.Response = self.run(self.client.send, request, stream=stream)
        return response

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.send("GET", url, **options)

    def open(self, url: str) -> httpx.Response:
        """The transport's own response, its body not begun; nothing of httpx is between."""
        handle = self.transport.handle_request if self.colour == "sync" else self.transport.handle_async_request
        response: httpx.Response = self.run(handle, self.client.build_request("GET", url))
        return response

    def chunks(self, response: httpx.Response) -> Iterator[bytes]:
        """The chunks of a body, each awaited."""
        stream: Any = response.stream
        if self.colour == "sync":
            return iter(stream)
        chunks = aiter(stream)
        return iter(lambda: self.run(lambda: anext(chunks, b"")), b"")

    def body(self, *pieces: bytes | Exception) -> Any:
        """A request body of these pieces; an exception among them is raised."""
        return _pieces(*pieces) if self.colour == "sync" else _async_pieces(*pieces)

    def close(self, closable: Any) -> None:
        self.run(closable.close if self.colour == "sync" else closable.aclose)

    def together(self, number: int, url: str, **options: Any) -> list[int | Exception]:
        """The same request `number` times at once: the status of each answer, or the error."""
        if self.colour == "sync":
            if self._threads is None:
                self._threads = self._stack.enter_context(ThreadPoolExecutor(64))
            return list(self._threads.map(lambda _: self._status(url, options), range(number)))
        results: list[int | Exception] = self.run(self._together, number, url, options)
        return results

    def _status(self, url: str, options: dict[str, Any]) -> int | Exception:
        try:
            status: int = self.client.get(url, **options).status_code
            return status
        except httpx.HTTPError as error:
            return error

    async def _together(self, number: int, url: str, options: dict[str, Any]) -> list[int | Exception]:
        results: list[int | Exception] = []

        async def one() -> None:
            try:
                results.append((await self.client.get(url, **options)).status_code)
            except httpx.HTTPError as error:
                results.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(number):
                tasks.start_soon(one)
        return results


def _pieces(*pieces: bytes | Exception) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        yield piece


async def _async_pieces(*pieces: bytes | Exception) -> AsyncIterator[bytes]:
    for piece in _pieces(*pieces):
        yield piece
