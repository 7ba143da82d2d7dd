"""Sockets for httpcore2's pools, on asyncio and trio, with less around each read and write.

httpcore2's own streams put each of them into a cancel scope and a generator of exceptions, and build a dictionary of
socket names for each look at whether an idle connection is still open: together more than the HTTP itself. Here
deadlines on asyncio share one timer, and what is known of a socket is looked up once.
"""

from __future__ import annotations

import asyncio
import math
import select
import socket
import ssl
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import anyio
import httpcore2
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from ..loopdeadline import LoopDeadline
from ..nothing import NOTHING

_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError)


def limited(seconds: float | None) -> AbstractContextManager[Any]:
    """Raise `TimeoutError` in a block that takes longer."""
    if seconds is None or seconds == math.inf:
        return NOTHING
    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio
        task = None
    return anyio.fail_after(seconds) if task is None else LoopDeadline(task, seconds)


class Stream(httpcore2.AsyncNetworkStream):
    """One connected socket, plain or TLS, with httpcore2's exceptions."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._socket: Any = stream.extra(SocketAttribute.raw_socket, None)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            with limited(timeout):
                return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except TimeoutError as error:
            raise httpcore2.ReadTimeout(str(error)) from error
        except _BROKEN as error:
            raise httpcore2.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        try:
            with limited(timeout):
                await self._stream.send(buffer)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except _BROKEN as error:
            raise httpcore2.WriteError(str(error)) from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with limited(timeout):
                wrapped = await TLSStream.wrap(
                    self._stream,
                    ssl_context=ssl_context,
                    hostname=server_hostname,
                    standard_compatible=False,
                    server_side=False,
                )
        except Exception as error:
            await self.aclose()
            if isinstance(error, TimeoutError | anyio.EndOfStream | ssl.SSLError | anyio.BrokenResourceError):
                _unconnected(error)
            raise
        return Stream(wrapped)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _is_readable(self._socket)
        if info == "socket":
            return self._socket
        return self._stream.extra(_EXTRA[info], None) if info in _EXTRA else None


_EXTRA: dict[str, Any] = {
    "ssl_object": TLSAttribute.ssl_object,
    "client_addr": SocketAttribute.local_address,
    "server_addr": SocketAttribute.remote_address,
}


def _is_readable(sock: Any) -> bool:
    """Whether the server has closed an idle connection, or spoken on it; a socket that is gone counts as closed."""
    number = -1 if sock is None else sock.fileno()
    if number < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


def _unconnected(error: Exception) -> NoReturn:
    timed_out = isinstance(error, TimeoutError)
    raise (httpcore2.ConnectTimeout if timed_out else httpcore2.ConnectError)(str(error)) from error


async def connect_tcp(
    host: str,
    port: int,
    timeout: float | None = None,
    local_address: str | None = None,
    socket_options: Iterable[Any] | None = None,
) -> Stream:
    """A TCP connection; anyio tries the addresses of a name as RFC 8305 has it."""
    if not 0 <= port < 65536:  # such as of a redirect; anyio would raise a group of errors
        raise httpcore2.ConnectError(f"the port {port} is impossible: ports end at 65535")
    try:
        with limited(timeout):
            stream = await anyio.connect_tcp(host, port, local_host=local_address)
    except (OSError, anyio.BrokenResourceError) as error:  # TimeoutError is an OSError
        _unconnected(error)
    return _ready(stream, socket_options)


async def connect_unix_socket(
    path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
) -> Stream:
    """A connection to a Unix socket."""
    try:
        with limited(timeout):
            stream = await anyio.connect_unix(path)
    except (OSError, anyio.BrokenResourceError) as error:
        _unconnected(error)
    return _ready(stream, socket_options)


def _ready(stream: ByteStream, socket_options: Iterable[Any] | None) -> Stream:
    sock: socket.socket = stream.extra(SocketAttribute.raw_socket)
    for option in socket_options or ():
        sock.setsockopt(*option)
    return Stream(stream)
