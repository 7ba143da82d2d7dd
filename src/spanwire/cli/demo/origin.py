"""The origin that misbehaves: an HTTP/1.1 server on the loopback interface, with a port and a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from .script import Act, Script

_BODY = b'{"invoice": 42, "state": "paid"}'
_REASONS = {200: "OK", 503: "Service Unavailable"}
_NO_LINGER = struct.pack("ii", 1, 0)


class Origin:
    """Follows a script for every request; `url` is known once it has been entered."""

    def __init__(self, script: Script, clock: Callable[[], float], chance: random.Random) -> None:
        self._script, self._clock, self._chance = script, clock, chance
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="demo-origin", daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._talks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=256)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError):  # the client has gone
                while await self._answered(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do with one request what the script says; whether the connection can be used again."""
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(_length(head))
        act = self._act()
        await asyncio.sleep(act.delay)
        if act.kind == "reset":
            _reset(writer)
            return False
        whole = _response(act)
        writer.write(whole if act.kind == "answer" else whole[: -len(_BODY) // 2])
        await writer.drain()
        if act.kind == "cut":
            _reset(writer)
        return act.kind == "answer"

    def _act(self) -> Act:
        index, progress = self._script.at(self._clock())
        return self._script.phases[index].act(progress, self._chance)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _response(act: Act) -> bytes:
    headers = {"content-type": "application/json", "content-length": str(len(_BODY)), **act.headers}
    lines = [f"HTTP/1.1 {act.status} {_REASONS[act.status]}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + _BODY


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a reset, as a crashed process or a load balancer does."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()
