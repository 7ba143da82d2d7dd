"""Two sends raced on a real origin over the default wire: the loser is cut off, and the pool is whole afterwards."""

from __future__ import annotations

import random
import time
from typing import Any

import httpx
import pytest

from spanwire.call import ATTEMPT, Attempt
from spanwire.testing import Answer, FaultyOrigin
from tests.testing.colours import Colour

SYNC = pytest.mark.parametrize("colour", ["sync"], indirect=True)
HOLD = Answer(hold=True)
LIMITS = httpx.Limits(max_connections=2)


class Sends:
    """Requests to one origin, raced; an answer below 500 is acceptable."""

    def __init__(self, colour: Colour, origin: FaultyOrigin, wire: Any) -> None:
        self.colour, self.url, self.wire = colour, origin.url, wire
        self.io = colour.runtime(wire)
        self.attempts: list[Attempt] = []

    async def send(self, index: int) -> httpx.Response:
        attempt = Attempt(index, "hedge" if index else "primary", 0.0)
        self.attempts.append(attempt)
        extensions = {ATTEMPT: attempt, "timeout": {"pool": 5, "connect": 5, "read": 10}}
        response: httpx.Response = await self.io.send(httpx.Request("GET", self.url, extensions=extensions))
        return response

    async def race(self, delay: float = 0.005) -> bytes:
        response = await self.io.race(self.send, delay, 1, lambda answer: answer.status_code < 500, self.io.close)
        return await self.body(response)

    def raced(self, delay: float = 0.005) -> bytes:
        found: bytes = self.colour.run(self.race(delay))
        return found

    def assert_whole(self) -> None:
        """No request is under way, and as many can be as ever."""
        self.colour.until(lambda: self.wire.connections()[0] == 0)
        answers = self.colour.at_once([self.single] * 2)
        assert answers == [b"ok"] * 2

    async def single(self) -> bytes:
        return await self.body(await self.send(0))

    async def body(self, response: httpx.Response) -> bytes:
        try:
            found: bytes = await self.io.read(response)
            return found
        finally:
            await self.io.close(response)


@pytest.fixture
def sends(colour: Colour, origin: FaultyOrigin) -> Sends:
    return Sends(colour, origin, colour.wire(limits=LIMITS))


def test_the_faster_of_two_sends_wins_and_the_pool_is_whole(sends: Sends, origin: FaultyOrigin) -> None:
    origin.script(HOLD, 200)
    assert sends.raced() == b"ok"
    assert len(origin.requests) == 2
    origin.release()
    sends.assert_whole()


def test_the_loser_is_cut_off_at_once(sends: Sends, origin: FaultyOrigin) -> None:
    origin.script(HOLD, 200)
    began = time.monotonic()
    assert sends.raced() == b"ok"
    sends.colour.until(lambda: origin.abandoned == 1)  # the origin saw its client go
    sends.colour.until(lambda: sends.wire.connections() == (0, 1))
    assert time.monotonic() - began < 3
    sends.assert_whole()


@SYNC
def test_a_late_answer_is_discarded_and_its_connection_used_again(colour: Colour, origin: FaultyOrigin) -> None:
    """On a wire that cannot be cut off."""
    origin.script(HOLD, 200)
    with httpx.HTTPTransport(limits=LIMITS) as wire:
        sends = Sends(colour, origin, wire)
        assert sends.raced() == b"ok"
        origin.release()
        origin.until(lambda it: it.held == 0)
        assert colour.at_once([sends.single] * 2) == [b"ok"] * 2
        assert origin.connections <= 4


def test_where_both_fail_the_first_s_answer_is_returned_and_the_pool_is_whole(
    sends: Sends, origin: FaultyOrigin
) -> None:
    origin.script(Answer(503, body="first"), Answer(503, body="second"), 200)
    assert sends.raced(delay=30) == b"first"
    sends.assert_whole()


def test_where_both_break_the_first_s_error_is_raised_and_the_pool_is_whole(sends: Sends, origin: FaultyOrigin) -> None:
    origin.script(Answer(fault="hang_up"), Answer(fault="reset"), 200)
    with pytest.raises(httpx.RemoteProtocolError):
        sends.raced(delay=30)
    sends.assert_whole()


def test_fifty_races_at_random_moments_lose_no_slot(sends: Sends, origin: FaultyOrigin) -> None:
    chance = random.Random(7)
    faults = ("none", "none", "none", "hang_up", "reset", "truncate")
    origin.script(lambda seen: Answer(delay=chance.uniform(0, 0.004), fault=chance.choice(faults)))

    async def race() -> bytes:
        return await sends.race(chance.uniform(0, 0.004))

    results = [result for _ in range(10) for result in sends.colour.at_once([race] * 5)]
    assert b"ok" in results
    assert not [error for error in results if isinstance(error, httpx.PoolTimeout)]
    origin.script(200)
    sends.assert_whole()
