"""Origins that misbehave to order: asyncio servers on a thread of their own, on real sockets of this machine.

A response is one `write`, head and body together: in two segments they would meet Nagle and delayed acknowledgements.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

Handler = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """One listening socket. What was asked for is in `requests`; what holds an answer back waits at the gate."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None, uds: str | None = None) -> None:
        self.handler, self.tls, self.uds = handler, tls, uds
        self.accepted = 0
        self.requests: list[str] = []
        self.held = threading.Semaphore(0)  # released by each request that arrives at the gate
        self.opens_for = 0  # requests at the gate that open it by themselves

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def open_gate(self) -> None:
        """Answer all that wait at the gate, and all that come later."""
        self._loop.call_soon_threadsafe(self._gate.set)

    async def gate(self) -> None:
        """Hold an answer back."""
        self.held.release()
        self.opens_for -= 1
        if self.opens_for == 0:
            self._gate.set()
        await self._gate.wait()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop, self._gate = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop.set_exception_handler(lambda *_: None)  # clients that leave in the middle are the point
        if self.uds:
            server = await asyncio.start_unix_server(self._accept, self.uds)
        else:
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls, backlog=1024)
            self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self.handler(self, reader, writer)
        except (OSError, EOFError):  # the client has gone
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._writers.discard(writer)


def answer(body: bytes = b"ok", *, status: str = "200 OK", close: bool = False, framing: str | None = None) -> bytes:
    """A whole response of HTTP/1.1."""
    framing = f"content-length: {len(body)}" if framing is None else framing
    return f"HTTP/1.1 {status}\r\n{framing}\r\nconnection: {'close' if close else 'keep-alive'}\r\n\r\n".encode() + body


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes, bytes]:
    """The request line, the whole head and the body; EOFError when the client has closed."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    body = await reader.readexactly(int(fields.get(b"content-length", 0)))
    chunked = fields.get(b"transfer-encoding") == b"chunked"
    while chunked:
        chunk = await reader.readexactly(int(await reader.readline(), 16) + 2)
        body, chunked = body + chunk[:-2], chunk != b"\r\n"
    return head.split(b"\r\n")[0].decode(), head, body


async def http1(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The origin of most tests: the path says how it behaves. It keeps connections, where a path does not say other."""
    while True:
        line, head, body = await read_request(reader)
        server.requests.append(line)
        path = line.split(" ")[1]
        match path:
            case "/hold":
                await server.gate()
                writer.write(answer())
            case "/echo":
                writer.write(answer(body))
            case "/mirror":
                writer.write(answer(head))
            case "/drip":
                writer.write(answer(b"4\r\nhalf\r\n", framing="transfer-encoding: chunked"))
                await server.gate()
                writer.write(b"4\r\nrest\r\n0\r\n\r\n")
            case "/close":
                return writer.write(answer(close=True))
            case "/garbage":
                return writer.write(b"This is not HTTP.\r\n\r\n")
            case "/cut-short":
                return writer.write(answer(b"half", framing="content-length: 8"))
            case "/hang-up":
                return None
            case "/cookie":
                writer.write(answer(framing="content-length: 2\r\nset-cookie: seen=1"))
            case _:
                writer.write(answer())


async def deaf(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, and never reads a byte."""
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    await server.gate()
