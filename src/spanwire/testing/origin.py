"""An origin that misbehaves as it is told: a real server on a port of this machine, in a thread of its own.

An answer goes out in one write, head and body together, on sockets without Nagle's delay: else a delayed
acknowledgement would cost a request 40 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from .answers import Answer, Seen, read_request, send
from .tally import Tally

__all__ = ["Answer", "FaultyOrigin", "Seen", "Step"]

Step = int | Answer | Callable[[Seen], int | Answer]
"""A status, an answer, or a function that gives one of these; it runs in the origin's thread."""


class FaultyOrigin(Tally):
    """A real HTTP/1.1 origin on 127.0.0.1 that follows a script and remembers what it saw.

    ```python
    with FaultyOrigin() as origin:
        origin.script(503, Answer(fault="reset"), 200)        # one after the other, then the last for ever
        origin.script(Answer(hold=True), path="/slow")        # a script of its own for one path
        client.get(origin.url)
        assert [seen.path for seen in origin.requests] == ["/"]
    ```

    Args:
        keep_alive: whether connections may be used again; if not, each answer closes its connection.
        tls: the server's context, for an https origin.
    """

    def __init__(self, *, keep_alive: bool = True, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.port = 0
        self._keep_alive, self._tls = keep_alive, tls
        self._scripts: dict[str | None, Iterator[Step]] = {None: _forever((200,))}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    # -- what a test tells it ----------------------------------------------------------------------------------------

    def script(self, *steps: Step, path: str | None = None) -> None:
        """Answer the next requests so, in order, and all later ones as the last; by `path`, or on every other path."""
        self._scripts[path] = _forever(steps)

    def release(self) -> None:
        """Answer the requests that are held now."""
        self._loop.call_soon_threadsafe(self._let_go)

    def refuse(self) -> None:
        """Refuse connections and close those that are open, as if the process had ended."""
        self._do(self._stop_listening())

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        self._do(self._listen())

    # -- its life ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(started)), name="faulty-origin", daemon=True
        )
        self._thread.start()
        started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _main(self, started: Future[None]) -> None:
        self._loop, self._ended, self._gate = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        try:
            await self._listen()
        except OSError as error:
            return started.set_exception(error)
        started.set_result(None)
        await self._ended.wait()
        await self._stop_listening()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, ssl=self._tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    def _let_go(self) -> None:
        self._gate.set()
        self._gate = asyncio.Event()

    # -- its connections ---------------------------------------------------------------------------------------------

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count(connections=1, open_connections=1)
        task = self._loop.create_task(self._converse(reader, writer, self.connections))
        self._tasks.add(task)
        self._writers.add(writer)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            while (seen := await read_request(reader, number)) is not None:
                if not await self._answer(seen, reader, writer):
                    break
        except (OSError, EOFError):  # the client has gone
            pass
        finally:
            self._writers.discard(writer)
            writer.close()
            self._count(open_connections=-1)

    async def _answer(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        with contextlib.ExitStack() as work:
            self._came(seen)
            work.callback(self._left)
            answer = self._next(seen)
            if answer.hold or answer.delay:
                await self._pause(answer, reader)
            return await send(answer, seen, writer, work.close) and self._keep_alive

    def _next(self, seen: Seen) -> Answer:
        step = next(self._scripts.get(seen.path) or self._scripts[None])
        try:
            made = step(seen) if callable(step) else step
        except Exception:
            made = Answer(500, body=traceback.format_exc())
        answer = Answer(made) if isinstance(made, int) else made
        return answer if self._keep_alive or answer.close else replace(answer, close=True)

    async def _pause(self, answer: Answer, reader: asyncio.StreamReader) -> None:
        """Hold and delay an answer, unless its client goes away meanwhile."""
        pause, leaving = self._loop.create_task(self._wait(answer)), self._loop.create_task(reader.read(1))
        try:
            await asyncio.wait((pause, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not pause.done():
                self._count(abandoned=1)
                raise EOFError
        finally:
            for task in (pause, leaving):
                task.cancel()
            await asyncio.gather(pause, leaving, return_exceptions=True)

    async def _wait(self, answer: Answer) -> None:
        if answer.hold:
            self._count(held=1)
            try:
                await self._gate.wait()
            finally:
                self._count(held=-1)
        await asyncio.sleep(answer.delay)


def _forever(steps: tuple[Step, ...]) -> Iterator[Step]:
    """The steps, and the last one again and again."""
    yield from steps
    while True:
        yield steps[-1]
