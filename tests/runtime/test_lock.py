"""`io.lock`: held across I/O, so that callers of the same thing wait for the first."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from spanwire.testing import Answer, FaultyOrigin
from tests.testing.colours import Colour


class SingleFlight:
    """A policy that sends one request for all its callers."""

    def __init__(self, io: Any) -> None:
        self.io, self.lock = io, io.lock()
        self.answer: bytes | None = None

    async def __call__(self, url: str) -> bytes:
        async with self.lock:
            if self.answer is None:
                response = await self.io.send(httpx.Request("GET", url))
                self.answer = await self.io.read(response)
            return self.answer


def test_eight_callers_make_one_send(colour: Colour, origin: FaultyOrigin) -> None:
    origin.script(Answer(delay=0.01))
    policy = SingleFlight(colour.runtime(colour.wire()))
    assert colour.at_once([lambda: policy(origin.url)] * 8) == [b"ok"] * 8
    assert len(origin.requests) == 1


def test_an_error_frees_the_lock_for_the_next(colour: Colour, origin: FaultyOrigin) -> None:
    origin.script(Answer(fault="hang_up"), 200)
    policy = SingleFlight(colour.runtime(colour.wire()))
    with pytest.raises(httpx.RemoteProtocolError):
        colour.run(policy(origin.url))
    assert colour.run(policy(origin.url)) == b"ok"
