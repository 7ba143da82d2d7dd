"""What a policy may do to the outside world. A policy awaits `call`, `io` and its own helpers, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar

import httpx

T = TypeVar("T")

Next = Callable[[httpx.Request], Coroutine[Any, Any, httpx.Response]]
"""What a policy calls to go on: the rest of the chain."""


class Handle(Protocol):
    """Work in the background."""

    def cancel(self) -> None:
        """End it soon; it is not waited for."""

    @property
    def running(self) -> bool:
        """Whether it is alive in this process and on a living loop."""


class Runtime(Protocol):
    """The outside world of one transport: suspends in the async colour, blocks in the sync one."""

    cuts: bool
    """Whether `deadline` can cut work short: True in the async colour."""

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send on the wire."""

    async def sleep(self, seconds: float) -> None:
        """Wait; `ClientClosed` if the client is closed meanwhile."""

    async def drain(self, response: httpx.Response, limit: int, seconds: float) -> None:
        """Read what nobody wants, up to `limit` bytes and `seconds`, and close it: its connection can be used again.

        Errors on the way are not raised.
        """

    async def read(self, response: httpx.Response) -> bytes:
        """Read the whole body."""

    async def close(self, response: httpx.Response) -> None:
        """Close a response."""

    def deadline(self, seconds: float) -> AbstractContextManager[None]:
        """Cut a block short when its time is up, and raise `TimeoutError`; nothing where `cuts` is False."""

    async def invoke(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the user, plain or `async`, and return its result."""

    async def race(
        self,
        start: Callable[[int], Coroutine[Any, Any, T]],
        delay: float,
        extra: int,
        acceptable: Callable[[T], bool],
        discard: Callable[[T], Coroutine[Any, Any, None]],
    ) -> T:
        """The first acceptable result of `start(0)` and up to `extra` further starts.

        A further one starts after `delay` seconds or at a failure. The losers are cancelled, and each result but the
        returned one is given to `discard`. If none is acceptable, the first start's own result or error.
        """

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> Handle:
        """Do work in the background: an asyncio task, a trio system task or, in sync, a daemon thread.

        It ends with the client and with its loop; an error that it ends by is logged.
        """

    def lock(self) -> AbstractAsyncContextManager[Any]:
        """A lock that may be held across I/O."""
