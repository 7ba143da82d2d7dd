"""How a connection tells of itself: when the pool gave it, how long it took to make, and whom it reached.

A reused connection must cost next to nothing to watch. So nothing is wrapped: on each connection of the pool one method
is replaced, by one that notes the time and hands on. Only the first request on a connection takes the longer way, with
a stop-watch in a context variable that the network backend finds when it connects.
"""

from __future__ import annotations

import socket
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

    def assigned(self, line: Line) -> None:
        """The pool has given a connection, and the wait is over; once more, if another request was faster on it."""
        self.waiting = False
        if self.attempt is not None:
            self.attempt.pool_wait = self.clock() - self.entered
            self.attempt.peer = line.peer
            self.attempt.abort = line.abort
            if self.attempt.lost:  # while it waited for the connection
                raise httpcore2.ReadError("the request lost its race before it was sent")

    def failed(self, error: BaseException) -> None:
        """No response came. After a pool timeout or a cancellation, it may never have left the queue."""
        if self.attempt is not None and (self.waiting or isinstance(error, httpcore2.PoolTimeout)):
            self.attempt.pool_wait = self.clock() - self.entered


class Line:
    """One connection of the pool, whom it reaches, and which request has begun to open it for HTTP/2."""

    __slots__ = ("abort", "connection", "multiplexes", "opener", "peer")

    def __init__(self, connection: Any, multiplexes: bool) -> None:
        self.connection, self.multiplexes = connection, multiplexes
        self.peer: Peer | None = None
        self.abort: Callable[[], None] | None = None
        """Ends what is blocked on its socket, from another thread; None where nothing blocks, or others share it."""
        self.opener: Connecting | None = None

    def watch_opening(self, stream: Any) -> None:
        """Note who writes the connection's preface, until the next write: that one is of a request."""
        write = stream.write

        def opening(*arguments: Any, **named: Any) -> Any:
            if self.opener is None:
                self.opener = connecting.get(None)
            else:
                self.opener = None
                del stream.write
            return write(*arguments, **named)

        stream.write = opening


class Connecting:
    """The making of a connection on behalf of one request: a stop-watch over its steps, and its socket, once open."""

    __slots__ = ("_attempt", "_clock", "_line", "_started", "_stream", "_token")

    def __init__(self, request: WireRequest, line: Line) -> None:
        self._attempt, self._clock, self._line = request.attempt, request.clock, line
        self._started: float | None = None
        self._stream: Any = None

    def __enter__(self) -> Self:
        self._token = connecting.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        connecting.reset(self._token)
        if self._attempt is not None:
            self._attempt.peer, self._attempt.abort = self._line.peer, self._line.abort
        if self._stream is not None:  # what the user starts on this socket from now on is not connecting
            self._stream.__dict__.pop("start_tls", None)

    def start(self) -> None:
        """A step begins; the watch runs on between the steps, where the proxy's tunnel is built."""
        self._go_on()
        if self._started is None:
            self._started = self._clock()

    def stop(self) -> None:
        """A step has ended, well or badly."""
        if self._attempt is not None and self._started is not None:
            self._attempt.connect = self._clock() - self._started

    def reached(self, stream: Any, timed: Callable[..., Any]) -> None:
        """A socket is open: keep it, note its other end, and have its TLS handshake `timed` as well."""
        self._stream = stream
        self._go_on()
        stream.start_tls = partial(timed, self, stream.start_tls)
        if self._line.multiplexes:
            self._line.watch_opening(stream)
        elif isinstance(stream, httpcore2.NetworkStream):
            self._line.abort = partial(_shut_down, stream.get_extra_info("socket"))
            if self._attempt is not None:
                self._attempt.abort = self._line.abort
        with suppress(OSError):  # a server that has hung up already has no name
            address = stream.get_extra_info("server_addr")
            if isinstance(address, tuple):  # a Unix socket's is a string
                self._line.peer = (address[0], address[1])

    def _go_on(self) -> None:
        """Have the pool find another connection, if it will drop this one.

        Several requests may wait for one connection that may become HTTP/2. When one of them fails or is cancelled,
        httpcore2 takes the connection for closed; one made all the same would belong to no pool, and never be closed.
        """
        if self._line.connection.is_closed():
            raise httpcore2.ConnectionNotAvailable

    def left_over(self) -> Any:
        """What a failed first request leaves open: a connection that would block its slot for ever, or a lone socket.

        httpcore2 forgets both of them in some of the ways to fail: a cancelled TLS handshake, a tunnel whose TLS
        handshake fails, a cancellation on trio between connecting and sending. And one that was cancelled while it
        opened a connection for HTTP/2 leaves it with a wrong count of its streams, on which every later request fails.
        """
        connection = self._line.connection
        if not connection.is_connected():
            return self._stream
        usable = connection.is_available() or connection.is_idle()
        return None if usable and self._line.opener is not self else connection

    def waited_in_vain(self, error: BaseException) -> bool:
        """Whether the request failed because another one, which was opening the connection for HTTP/2, closed it.

        An error of h2's own comes out of httpcore2 from nowhere else: nothing has been sent, and the pool may look for
        another connection.
        """
        return self._stream is None and type(error).__module__ == "h2.exceptions"


def _shut_down(sock: socket.socket) -> None:
    """Wake a thread that reads or writes: closing would not, and TLS's own `shutdown` is not for two threads."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


connecting: ContextVar[Connecting] = ContextVar("spanwire.wire.connecting")
"""What the network backend tells, while a connection is made."""


def retire_when_broken(connection: Any) -> None:
    """Let the pool close an HTTP/2 connection that is idle and takes no more requests.

    httpcore2 keeps one in its slot after a lost connection or a read timeout: for the keep-alive time, or for ever.
    """
    has_expired = connection.has_expired
    connection.has_expired = lambda: has_expired() or (connection.is_idle() and not connection.is_available())
