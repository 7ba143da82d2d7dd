"""`io.sleep`: a wait that the closing of the client interrupts."""

from __future__ import annotations

import math
import threading
from typing import Any

import anyio
import pytest

from spanwire import ClientClosed
from tests.testing.colours import COLOURS, Colour

ASYNC = pytest.mark.parametrize("colour", ["asyncio", "trio"], indirect=True)


@pytest.mark.parametrize("seconds", [0, 0.001, -1])
def test_a_wait_ends(colour: Colour, seconds: float) -> None:
    colour.run(colour.runtime().sleep(seconds))


@pytest.mark.parametrize("seconds", [30, math.inf])
def test_closing_the_client_interrupts_a_wait(colour: Colour, seconds: float) -> None:
    io = colour.runtime()

    async def close() -> None:
        io.shutdown()

    errors = colour.at_once([lambda: io.sleep(seconds), lambda: io.sleep(seconds), close])
    assert [type(error) for error in errors] == [ClientClosed, ClientClosed, type(None)]


def test_a_wait_is_interrupted_from_another_thread(colour: Colour) -> None:
    io = colour.runtime()
    closing = threading.Timer(0.02, io.shutdown)
    closing.start()
    with pytest.raises(ClientClosed, match="was closed while the call waited"):
        colour.run(io.sleep(30))
    closing.join()


def test_a_closed_client_waits_for_nothing(colour: Colour) -> None:
    io = colour.runtime()
    io.shutdown()
    with pytest.raises(ClientClosed):
        colour.run(io.sleep(30))


def test_a_given_sleep_is_used_and_closing_noticed_after_it(colour: Colour) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def asleep(seconds: float) -> None:
        slept.append(seconds)

    io = colour.runtime(sleep=asleep if colour.is_async else sleep)
    colour.run(io.sleep(30))
    io.shutdown()
    with pytest.raises(ClientClosed):
        colour.run(io.sleep(40))
    assert slept == [30, 40]


@ASYNC
def test_cancellation_ends_a_wait(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> bool:
        with anyio.move_on_after(0.001) as scope:
            await io.sleep(30)
        return scope.cancelled_caught

    assert colour.run(story())
    assert not io._asleep


def test_closing_wakes_sleepers_on_other_loops_and_minds_no_loop_that_is_gone() -> None:
    with COLOURS["asyncio"]() as first, COLOURS["trio"]() as second:
        io: Any = first.runtime()

        async def start() -> None:
            await io.sleep(0)

        for colour in (first, second):
            colour.run(start())
        io._asleep.add(_gone)
        io.shutdown()


def _gone() -> None:
    raise RuntimeError("Event loop is closed")
