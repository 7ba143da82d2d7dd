"""What an origin can write into a status line or a `Location` is never the end of the pool."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from spanwire import AsyncClient, Connection, Policy, Timeout
from spanwire.policies.connection import Connection as Wired

WIRES = ("httpcore2", "aiohttp")


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def policy(wire: str) -> Policy:
    connection: Wired = Connection(max_connections=1, wire=wire)  # type: ignore[arg-type]
    return Policy(connection=connection, timeout=Timeout(pool=0.5), retry=None, circuit_breaker=None)


@pytest.mark.parametrize("wire", WIRES)
def test_a_reason_that_is_no_utf_8(wire: str) -> None:
    pytest.importorskip("aiohttp")

    async def main(url: str) -> list[int]:
        async with AsyncClient(policy=policy(wire)) as client:
            return [(await client.get(url)).status_code for _ in range(3)]

    with answering(b"HTTP/1.1 200 \xff\xfe\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as url:
        assert asyncio.run(main(url)) == [200, 200, 200]


@pytest.mark.parametrize("wire", WIRES)
def test_a_redirect_to_a_port_that_cannot_be(wire: str) -> None:
    pytest.importorskip("aiohttp")

    async def main(url: str) -> None:
        async with AsyncClient(policy=policy(wire), follow_redirects=True) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)

    with answering(
        b"HTTP/1.1 301 M\r\nLocation: http://127.0.0.1:99999/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ) as url:
        asyncio.run(main(url))
