"""A loopback origin in a process of its own, so that the client's CPU time is the client's alone.

It answers every GET on a kept connection with head and body in one write and without Nagle: written apart, the
second would wait for the client's delayed acknowledgement and the benchmark would measure that.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

HEADERS = {"content-type": "application/json", "cache-control": "no-store"}
BODY = b'{"id": 42, "state": "paid", "lines": [{"sku": "a-1", "count": 2}, {"sku": "b-7", "count": 1}]}'


@dataclass
class Origin:
    """A running origin; what it counted is known once it has ended."""

    url: str
    connections: int = 0
    requests: int = 0


@contextmanager
def running() -> Iterator[Origin]:
    """Start the origin in another process and end it, however the block ends: it lives as long as its input is open."""
    command = [sys.executable, "-E", __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        origin = Origin(f"http://127.0.0.1:{int(process.stdout.readline())}/invoices")
        try:
            yield origin
        finally:
            process.stdin.close()
            counted = json.loads(process.stdout.read())
            origin.connections, origin.requests = counted["connections"], counted["requests"]


class Answers(asyncio.Protocol):
    """One connection. Requests have no body, so a blank line ends each of them."""

    counted: ClassVar = {"connections": 0, "requests": 0}
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    answer = f"HTTP/1.1 200 OK\r\n{head}content-length: {len(BODY)}\r\n\r\n".encode() + BODY

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and switch Nagle off."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.unread = transport, b""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.counted["connections"] += 1

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        *requests, self.unread = (self.unread + data).split(b"\r\n\r\n")
        self.counted["requests"] += len(requests)
        for _ in requests:
            self.transport.write(self.answer)


async def serve() -> None:
    """Tell the port, serve until the input ends, tell what was counted."""
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    print(json.dumps(Answers.counted), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
