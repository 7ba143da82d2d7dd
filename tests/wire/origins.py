"""Origins that misbehave to order: asyncio servers on a thread of their own, on real sockets of this machine.

A response is always one `write`: head and body in two segments would meet Nagle and delayed acknowledgements.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Self

Handler = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """One listening socket. `gate` holds the answers to /hold, `requests` what was asked for, `accepted` the connections."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None, uds: str | None = None) -> None:
        self.handler, self.tls, self.uds = handler, tls, uds
        self.accepted = 0
        self.requests: list[str] = []
        self.held = threading.Semaphore(0)
        """Released once for every request that waits at the gate."""
        self.port = 0

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
        """Answer everything that waits at the gate, and whatever comes after it."""
        self._loop.call_soon_threadsafe(self.gate.set)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop, self.gate = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        if self.uds:
            server = await asyncio.start_unix_server(self._accept, self.uds)
        else:
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls, backlog=1024)
            self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.handler(self, reader, writer)
        except (OSError, EOFError):  # the client has gone
            pass
        finally:
            writer.transport.abort() if self._stop.is_set() else writer.close()


# -- HTTP/1.1 ------------------------------------------------------------------------------------------------------------


def answer(body: bytes = b"ok", *, status: str = "200 OK", close: bool = False, framing: str | None = None) -> bytes:
    """A whole response in one piece."""
    framing = f"content-length: {len(body)}" if framing is None else framing
    return f"HTTP/1.1 {status}\r\n{framing}\r\nconnection: {'close' if close else 'keep-alive'}\r\n\r\n".encode() + body


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes, bytes] | None:
    """The request line, the whole head and the body; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    body = await reader.readexactly(int(fields.get(b"content-length", 0)))
    while b"chunked" in fields.get(b"transfer-encoding", b""):
        chunk = await reader.readexactly(int(await reader.readline(), 16) + 2)
        body += chunk[:-2]
        if chunk == b"\r\n":
            break
    return head.split(b"\r\n")[0].decode(), head, body


async def http1(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The origin of most tests: the path says how it behaves."""
    while (request := await read_request(reader)) is not None:
        line, head, body = request
        path = line.split(" ")[1]
        server.requests.append(line)
        if path == "/hold":
            server.held.release()
            await server.gate.wait()
        if path == "/hang-up":
            return
        await BEHAVIOURS.get(path, plain)(server, writer, head, body)
        if path in ("/close", "/garbage", "/cut-short"):
            return


async def plain(_server: Server, writer: asyncio.StreamWriter, _head: bytes, _body: bytes) -> None:
    writer.write(answer())


async def closing(_server: Server, writer: asyncio.StreamWriter, _head: bytes, _body: bytes) -> None:
    writer.write(answer(close=True))


async def echo(_server: Server, writer: asyncio.StreamWriter, _head: bytes, body: bytes) -> None:
    writer.write(answer(body))


async def mirror(_server: Server, writer: asyncio.StreamWriter, head: bytes, _body: bytes) -> None:
    writer.write(answer(head))


async def garbage(_server: Server, writer: asyncio.StreamWriter, _head: bytes, _body: bytes) -> None:
    writer.write(b"This is not HTTP.\r\n\r\n")


async def cut_short(_server: Server, writer: asyncio.StreamWriter, _head: bytes, _body: bytes) -> None:
    writer.write(answer(b"half", framing="content-length: 8"))


async def drip(server: Server, writer: asyncio.StreamWriter, _head: bytes, _body: bytes) -> None:
    writer.write(answer(b"4\r\nhalf\r\n", framing="transfer-encoding: chunked"))
    server.held.release()
    await server.gate.wait()
    writer.write(b"4\r\nrest\r\n0\r\n\r\n")


BEHAVIOURS = {
    "/close": closing,
    "/echo": echo,
    "/mirror": mirror,
    "/garbage": garbage,
    "/cut-short": cut_short,
    "/drip": drip,
}
