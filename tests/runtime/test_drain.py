"""`io.drain`: what nobody wants is read, within limits, so that its connection can be used again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest

from spanwire.testing import Answer, FaultyOrigin
from tests.testing.colours import Colour

ASYNC = pytest.mark.parametrize("colour", ["asyncio", "trio"], indirect=True)


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces of ten bytes; where a piece is an error, that is raised."""

    def __init__(self, *pieces: bytes | Exception, closing: Exception | None = None) -> None:
        self.pieces, self.closing = iter(pieces), closing
        self.read, self.closed = 0, False

    def _next(self) -> bytes | None:
        piece = next(self.pieces, None)
        if isinstance(piece, Exception):
            raise piece
        self.read += len(piece or b"")
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._next()) is not None:
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := self._next()) is not None:
            yield piece

    def close(self) -> None:
        self.closed = True
        if self.closing:
            raise self.closing

    async def aclose(self) -> None:
        self.close()


TEN = b"0123456789"


def drained(colour: Colour, stream: Stream, limit: int = 64, seconds: float = 5, **headers: str) -> Stream:
    response = httpx.Response(503, headers={k.replace("_", "-"): v for k, v in headers.items()}, stream=stream)
    colour.run(colour.runtime().drain(response, limit, seconds))
    assert response.is_closed
    assert stream.closed
    return stream


def test_a_short_body_is_read_to_its_end(colour: Colour) -> None:
    assert drained(colour, Stream(TEN, TEN)).read == 20


def test_a_body_that_says_it_is_too_long_is_not_read(colour: Colour) -> None:
    assert drained(colour, Stream(TEN), content_length="65").read == 0
    assert drained(colour, Stream(TEN), content_length="64").read == 10


def test_a_body_that_is_too_long_without_saying_so_is_read_to_the_limit(colour: Colour) -> None:
    assert drained(colour, Stream(*[TEN] * 20)).read == 70


@pytest.mark.parametrize("error", [httpx.ReadError("gone"), OSError("gone"), ValueError("a wire of the user")])
def test_errors_on_the_way_are_of_no_interest(colour: Colour, error: Exception) -> None:
    assert drained(colour, Stream(TEN, error)).read == 10
    assert drained(colour, Stream(TEN, closing=error)).read == 10


def test_a_body_that_was_read_already_is_left_alone(colour: Colour) -> None:
    response = httpx.Response(503, content=b"read")
    colour.run(colour.runtime().drain(response, 64, 5))
    assert response.content == b"read"


def test_a_slow_body_is_given_up_when_the_time_is_up(colour: Colour, origin: FaultyOrigin) -> None:
    origin.script(Answer(503, body="x" * 100, drip=0.02, pieces=100))
    wire = colour.wire()
    began = time.monotonic()
    colour.run(colour.runtime(wire).drain(sent(colour, wire, origin), 1000, 0.05))
    assert time.monotonic() - began < 1
    assert wire.connections() == (0, 0)


@ASYNC
def test_a_body_that_stands_still_is_given_up_when_the_time_is_up(colour: Colour) -> None:
    class Still(Stream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await anyio.sleep_forever()
            yield b""

    assert drained(colour, Still(), seconds=0.01).read == 0


def sent(colour: Colour, wire: Any, origin: FaultyOrigin) -> httpx.Response:
    request = httpx.Request("GET", origin.url, extensions={"timeout": {"read": 5}})
    response: httpx.Response = colour.run(colour.runtime(wire).send(request))
    return response


def test_a_drained_connection_is_used_again_and_one_that_was_not_is_closed(
    colour: Colour, origin: FaultyOrigin
) -> None:
    origin.script(Answer(503, body="x" * 100))
    wire = colour.wire()
    for limit, connections in ((100, (0, 1)), (100, (0, 1)), (99, (0, 0))):
        colour.run(colour.runtime(wire).drain(sent(colour, wire, origin), limit, 5))
        assert wire.connections() == connections
    assert origin.connections == 1


def test_a_response_can_be_read_and_closed(colour: Colour) -> None:
    io = colour.runtime()
    stream = Stream(TEN)
    assert colour.run(io.read(httpx.Response(200, stream=stream))) == TEN
    colour.run(io.close(httpx.Response(200, stream=(other := Stream()))))
    assert (stream.closed, other.closed) == (True, True)
