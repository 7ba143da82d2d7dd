"""Proxies for the tests: HTTP forwarding and tunnelling in one, and SOCKS5."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from tests.wire.origins import Server, answer


async def http_proxy(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forwards `GET http://...` and tunnels `CONNECT`; to hosts of the port 1 it refuses to."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        server.requests.append(head.decode())
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        host, port = target.split(":") if method == "CONNECT" else (urlsplit(target).hostname, urlsplit(target).port)
        if str(port) == "1":
            return writer.write(answer(status="502 Bad Gateway", close=True))
        upstream = await asyncio.open_connection(host, int(port or 80))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = urlsplit(target).path
            upstream[1].write(head.replace(target.encode(), path.encode(), 1))
        return await join((reader, writer), upstream)


async def socks5(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """No authentication, CONNECT only; hosts of the port 1 it cannot reach."""
    _, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    writer.write(b"\x05\x00")
    _, _, _, kind = await reader.readexactly(4)
    size = 4 if kind == 1 else (await reader.readexactly(1))[0]
    name = await reader.readexactly(size)
    host = ".".join(map(str, name)) if kind == 1 else name.decode()
    port = int.from_bytes(await reader.readexactly(2), "big")
    server.requests.append(f"{host}:{port}")
    if port == 1:
        return writer.write(b"\x05\x05\x00\x01" + bytes(6))
    upstream = await asyncio.open_connection(host, port)
    writer.write(b"\x05\x00\x00\x01" + bytes(6))
    await join((reader, writer), upstream)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def join(left: Stream, right: Stream) -> None:
    """Carry bytes both ways until one side closes."""
    both = [asyncio.create_task(carry(left[0], right[1])), asyncio.create_task(carry(right[0], left[1]))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        right[1].close()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
