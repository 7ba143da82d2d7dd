"""How a connection tells of itself: when the pool gave it, how long it took to make, and whom it reached.

A reused connection must cost next to nothing to watch. So nothing is wrapped: on each connection of the pool one method
is replaced, by one that notes the time and hands on. Only the first request on a connection takes the longer way, with
a stop-watch in a context variable that the network backend finds when it connects.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Self

import httpcore2
import httpx

from ..call import ATTEMPT
from .arguments import core_url
from .evidence import Attempt, Peer

Clock = Callable[[], float]


class WireRequest(httpcore2.Request):
    """A request on its way through the pool, with the attempt to write on and the moment it came in."""

    def __init__(self, request: httpx.Request, clock: Clock) -> None:
        super().__init__(
            request.method,
            core_url(request.url),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        self.attempt: Attempt | None = request.extensions.get(ATTEMPT)
        self.clock = clock
        self.entered = 0.0 if self.attempt is None else clock()
        self.waiting = True

    def assigned(self, peer: Peer | None) -> None:
        """The pool has given a connection, and the wait is over; once more, if another request was faster on it."""
        self.waiting = False
        if self.attempt is not None:
            self.attempt.pool_wait = self.clock() - self.entered
            self.attempt.peer = peer

    def failed(self) -> None:
        """No response came. After a pool timeout or a cancellation, it may never have left the queue."""
        if self.waiting and self.attempt is not None:
            self.attempt.pool_wait = self.clock() - self.entered


class Line:
    """What is known of one connection of the pool for as long as it lives."""

    __slots__ = ("peer",)

    def __init__(self) -> None:
        self.peer: Peer | None = None


class Connecting:
    """The making of a connection on behalf of one request: a stop-watch over its steps, and its socket, once open."""

    __slots__ = ("_attempt", "_clock", "_line", "_started", "_token", "stream")

    def __init__(self, request: WireRequest, line: Line) -> None:
        self._attempt, self._clock, self._line = request.attempt, request.clock, line
        self._started: float | None = None
        self.stream: Any = None

    def __enter__(self) -> Self:
        self._token = connecting.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        connecting.reset(self._token)
        if self._attempt is not None:
            self._attempt.peer = self._line.peer
            self._attempt = None  # what the user starts on this socket from now on is not connecting

    def start(self) -> None:
        """A step begins; the watch runs on between the steps, where the proxy's tunnel is built."""
        if self._started is None:
            self._started = self._clock()

    def stop(self) -> None:
        """A step has ended, well or badly."""
        if self._attempt is not None and self._started is not None:
            self._attempt.connect = self._clock() - self._started

    def reached(self, stream: Any, timed: Callable[..., Any]) -> None:
        """A socket is open: keep it, note its other end, and have its TLS handshake `timed` as well."""
        self.stream = stream
        stream.start_tls = partial(timed, self, stream.start_tls)
        with suppress(OSError):  # a server that has hung up already has no name
            address = stream.get_extra_info("server_addr")
            if isinstance(address, tuple):  # a Unix socket's is a string
                self._line.peer = (address[0], address[1])


connecting: ContextVar[Connecting] = ContextVar("spanwire.wire.connecting")
"""What the network backend tells, while a connection is made."""


def left_over(connection: Any, made: Connecting) -> Any:
    """What a failed first request leaves open: a connection that would block its slot for ever, or a lone socket.

    httpcore2 forgets both of them in some of the ways to fail: a cancelled TLS handshake, a tunnel whose TLS handshake
    fails, a cancellation on trio between connecting and sending.
    """
    if not connection.is_connected():
        return made.stream
    return None if connection.is_available() or connection.is_idle() else connection


def retire_when_broken(connection: Any) -> None:
    """Let the pool close an HTTP/2 connection that is idle and takes no more requests.

    httpcore2 keeps one in its slot after a lost connection or a read timeout: for the keep-alive time, or for ever.
    """
    has_expired = connection.has_expired
    connection.has_expired = lambda: has_expired() or (connection.is_idle() and not connection.is_available())
