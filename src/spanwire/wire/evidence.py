"""What the wire tells of an attempt: its phases, its peer, and whether a failed request provably never left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import httpx

REFUSED_STREAM = 7
"""The HTTP/2 error code that promises: nothing of this request was processed (RFC 9113, section 8.7)."""


Peer = tuple[str, int]
"""An IP address and a port."""


class Attempt(Protocol):
    """What a wire fills in while it sends a request."""

    pool_wait: float
    """Seconds until the pool gave a connection, or until the attempt gave up waiting for one."""
    connect: float | None
    """Seconds to make a new connection, TLS and proxy tunnel included, or until that failed; None on a reused one."""
    peer: Peer | None
    """The socket's other end: the origin or the proxy; None for a Unix socket."""
    abort: Callable[[], None] | None
    """Cuts the request off from another thread; None where that is not needed, or others share the connection."""
    lost: bool
    """Whether the request lost its race, and is not to be sent any more."""


def provably_unsent(error: BaseException) -> bool:
    """Whether this error, raised instead of a response, proves that the server processed nothing of the request.

    True for a failed connect, TLS handshake or proxy tunnel, for a pool timeout, and for an HTTP/2 stream refused with
    REFUSED_STREAM or left out by a GOAWAY (RFC 9113, sections 6.8 and 8.7). False in every case of doubt: a write error
    or a lost connection prove nothing.
    """
    if isinstance(error, httpx.PoolTimeout):
        return True
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return not _is_a_lost_connection(error.__cause__)
    return isinstance(error, httpx.RemoteProtocolError) and any(map(_refuses, _http2_events(error)))


def _is_a_lost_connection(cause: BaseException | None) -> bool:
    """httpx-aiohttp says ConnectTimeout also when a server hangs up on a request that it has had."""
    aiohttp: Any = sys.modules.get("aiohttp")
    if aiohttp is None or not isinstance(cause, aiohttp.ClientError):
        return False
    unsent = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
    return not isinstance(cause, unsent)


def _http2_events(error: BaseException | None) -> Iterator[Any]:
    """The h2 events that httpcore and httpcore2 put into their errors, along the causes.

    Not along `__context__`: there hang the errors of earlier attempts, which prove nothing for this one.
    """
    while error is not None:
        if error.args and type(error.args[0]).__module__ == "h2.events":
            yield error.args[0]
        error = error.__cause__


def _refuses(event: Any) -> bool:
    match type(event).__name__:
        case "StreamReset":
            return bool(event.error_code == REFUSED_STREAM and event.remote_reset)
        case "ConnectionTerminated":
            # The number of our stream is not told, but none is below 1. Streams above a higher last_stream_id need no
            # answer here: httpcore2 sends them again itself, on a new connection.
            return bool(event.last_stream_id == 0)
    return False
