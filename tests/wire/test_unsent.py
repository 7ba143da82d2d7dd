"""Which errors prove that a request never reached the server, so that sending it again repeats nothing."""

from __future__ import annotations

import asyncio

import aiohttp
import h2.errors
import h2.events
import httpcore2
import httpx
import pytest

from spanwire.wire import provably_unsent

KEY = aiohttp.client_reqrep.ConnectionKey("host", 80, False, True, None, None, None)


def caused(error: Exception, cause: Exception | None) -> Exception:
    error.__cause__ = cause
    return error


def reset(code: int, *, remote: bool = True) -> httpcore2.RemoteProtocolError:
    return httpcore2.RemoteProtocolError(h2.events.StreamReset(stream_id=1, error_code=code, remote_reset=remote))


def go_away(last_stream_id: int) -> httpcore2.RemoteProtocolError:
    event = h2.events.ConnectionTerminated()
    event.last_stream_id = last_stream_id
    return httpcore2.RemoteProtocolError(event)


PROOF = {
    "connect refused": caused(httpx.ConnectError(""), httpcore2.ConnectError()),
    "connect timed out": caused(httpx.ConnectTimeout(""), httpcore2.ConnectTimeout()),
    "no slot": httpx.PoolTimeout(""),
    "tunnel refused": httpx.ProxyError("407"),
    "stream refused": caused(httpx.RemoteProtocolError(""), reset(h2.errors.ErrorCodes.REFUSED_STREAM)),
    "stream refused, wrapped once more": caused(
        httpx.RemoteProtocolError(""), caused(httpx.RemoteProtocolError(""), reset(7))
    ),
    "connection ended before any stream": caused(httpx.RemoteProtocolError(""), go_away(0)),
    "httpx-aiohttp: refused": caused(httpx.ConnectTimeout(""), aiohttp.ClientConnectorError(KEY, OSError(111, "no"))),
    "httpx-aiohttp: connect timed out": caused(httpx.ConnectTimeout(""), aiohttp.ConnectionTimeoutError()),
}

NO_PROOF = {
    "read timed out": httpx.ReadTimeout(""),
    "read failed": httpx.ReadError(""),
    "write failed": httpx.WriteError(""),
    "write timed out": httpx.WriteTimeout(""),
    "hung up": caused(httpx.RemoteProtocolError("Server disconnected"), httpcore2.RemoteProtocolError("")),
    "stream reset": caused(httpx.RemoteProtocolError(""), reset(h2.errors.ErrorCodes.INTERNAL_ERROR)),
    "stream reset by ourselves": caused(httpx.RemoteProtocolError(""), reset(7, remote=False)),
    "connection ended after our stream": caused(httpx.RemoteProtocolError(""), go_away(1)),
    "httpx-aiohttp: hung up": caused(httpx.ConnectTimeout(""), aiohttp.ServerDisconnectedError()),
    "httpx-aiohttp: reset": caused(httpx.ConnectTimeout(""), aiohttp.ClientOSError(104, "reset")),
    "httpx-aiohttp: read timed out": caused(httpx.ReadTimeout(""), aiohttp.SocketTimeoutError()),
    "something of httpcore2's own": httpcore2.ConnectError(),
    "cancelled": asyncio.CancelledError(),
    "interrupted": KeyboardInterrupt(),
}


@pytest.mark.parametrize("error", PROOF.values(), ids=PROOF)
def test_it_was_provably_not_sent(error: Exception) -> None:
    assert provably_unsent(error)


@pytest.mark.parametrize("error", NO_PROOF.values(), ids=NO_PROOF)
def test_it_may_have_been_sent(error: BaseException) -> None:
    assert not provably_unsent(error)


def test_the_error_of_an_earlier_attempt_proves_nothing() -> None:
    second = httpx.RemoteProtocolError("the second attempt, made while the error of the first was handled")
    second.__context__ = PROOF["stream refused"]
    assert not provably_unsent(second)
