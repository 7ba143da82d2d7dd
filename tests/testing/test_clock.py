"""The fake clock: calls wait without taking time, background work waits for the clock."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from spanwire import Fixed, Policy, Retry
from spanwire.testing import FakeClock, FaultyOrigin
from tests.testing.colours import Colour

PATIENT = Policy(retry=Retry(max_attempts=3, backoff=Fixed(seconds=5)))


def runtime(colour: Colour, clock: FakeClock) -> Any:
    return colour.runtime(sleep=clock.asleep if colour.is_async else clock.sleep)


def test_it_stands_still_until_it_is_advanced(clock: FakeClock) -> None:
    assert (clock(), clock()) == (1000.0, 1000.0)
    clock.advance(2.5)
    assert clock() == 1002.5
    assert repr(clock) == "<FakeClock 1002.5>"


def test_a_call_waits_and_no_time_passes(colour: Colour, origin: FaultyOrigin, clock: FakeClock) -> None:
    origin.script(503, 503, 200)
    client = colour.client(policy=PATIENT, clock=clock)
    assert colour.get(client, origin.url).status_code == 200
    assert clock.sleeps == [5.0, 5.0]
    assert clock() == 1010.0


def test_the_clock_of_a_closed_client_lets_nobody_wait(colour: Colour, clock: FakeClock) -> None:
    from spanwire import ClientClosed

    io = runtime(colour, clock)
    io.shutdown()
    with pytest.raises(ClientClosed):
        colour.run(io.sleep(1))


class Ticking:
    """Background work that notes the time once in ten seconds."""

    def __init__(self, io: Any, clock: FakeClock) -> None:
        self.io, self.clock = io, clock
        self.ticks: list[float] = []

    async def work(self) -> None:
        while True:
            await self.io.sleep(10)
            self.ticks.append(self.clock())

    async def start(self) -> Any:
        return self.io.spawn(self.work, "ticking")


def test_background_work_sleeps_until_the_clock_gets_there(colour: Colour, clock: FakeClock) -> None:
    io = runtime(colour, clock)
    ticking = Ticking(io, clock)
    handle = colour.run(ticking.start())
    colour.sleep(0.01)
    assert (ticking.ticks, clock.sleeps) == ([], [])
    clock.advance(10)
    colour.until(lambda: ticking.ticks == [1010.0])
    colour.run(io.sleep(10))  # the wait of a call moves the clock for it, too
    colour.until(lambda: ticking.ticks == [1010.0, 1020.0])
    io.shutdown()
    colour.until(lambda: not handle.running)
    assert clock.sleeps == [10]


def test_the_clock_may_be_advanced_in_another_thread(colour: Colour, clock: FakeClock) -> None:
    io = runtime(colour, clock)
    ticking = Ticking(io, clock)
    handle = colour.run(ticking.start())
    colour.sleep(0.01)
    thread = threading.Thread(target=clock.advance, args=(10,))
    thread.start()
    colour.until(lambda: ticking.ticks == [1010.0])
    thread.join()
    handle.cancel()
    colour.until(lambda: not handle.running)


def test_background_work_whose_time_has_come_already_does_not_wait(colour: Colour, clock: FakeClock) -> None:
    io = runtime(colour, clock)
    ended: list[bool] = []

    async def work() -> None:
        await io.sleep(0)
        ended.append(True)

    async def start() -> None:
        io.spawn(work, "test")

    colour.run(start())
    colour.until(lambda: ended)


def test_an_alarm_of_a_loop_that_has_ended_harms_nobody(clock: FakeClock) -> None:
    from tests.testing.colours import COLOURS

    for name in ("asyncio", "trio"):
        with COLOURS[name]() as colour:
            colour.run(Ticking(runtime(colour, clock), clock).start())
            colour.sleep(0.01)
            alarms = list(clock._alarms)
        clock._alarms += alarms
        clock.advance(10)
