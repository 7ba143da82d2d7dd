"""`io.race`: losers are cut off, and all of them when the caller gives up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from spanwire import ClientClosed
from tests.runtime.races import Race, Value
from tests.testing.colours import Colour

ASYNC = pytest.mark.parametrize("colour", ["asyncio", "trio"], indirect=True)
SYNC = pytest.mark.parametrize("colour", ["sync"], indirect=True)


def test_a_result_that_comes_too_late_is_discarded(colour: Colour) -> None:
    race = Race(colour, None, two := Value("two"))
    late = Value("late")
    run = race.runner

    async def stubborn(index: int) -> Value:
        try:
            return await run(index)
        except BaseException:
            return late

    race.runner = stubborn  # type: ignore[method-assign]
    assert race.result() is two
    colour.until(lambda: late.discarded == 1)


@ASYNC
def test_cancellation_of_the_caller_cuts_off_all(colour: Colour) -> None:
    race = Race(colour, None, one := Value("one", good=False), None)

    async def story() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(race.run)
                await _until(lambda: race.started == [0, 1, 2] and len(race.started) == 3)
                scope.cancel()

    colour.run(story())
    assert sorted(race.cut_off) == [0, 2]
    assert one.discarded == 1


@ASYNC
def test_a_deadline_of_the_caller_cuts_off_all_and_loses_nothing(colour: Colour) -> None:
    race = Race(colour, one := Value("one", good=False), None)

    async def story() -> None:
        with race.io.deadline(0.01):
            await race.run()

    with pytest.raises(TimeoutError):
        colour.run(story())
    assert (race.cut_off, one.discarded) == ([1], 1)


@ASYNC
def test_a_winner_that_cannot_be_returned_any_more_is_discarded(colour: Colour) -> None:
    """The caller is cancelled while the loser is still being cut off."""
    race = Race(colour, None, two := Value("two"))
    run = race.runner

    async def slow_to_end(index: int) -> Value:
        try:
            return await run(index)
        finally:
            if index == 0:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.02)

    race.runner = slow_to_end  # type: ignore[method-assign]

    async def story() -> bool:
        with anyio.move_on_after(0.01) as scope:
            await race.run()
        return scope.cancelled_caught

    assert colour.run(story())
    assert two.discarded == 1


@SYNC
def test_closing_the_client_ends_a_race(colour: Colour) -> None:
    race = Race(colour, None, None)
    errors: list[BaseException] = []

    def call() -> None:
        try:
            race.result()
        except ClientClosed as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    colour.until(lambda: len(race.started) == 2)
    race.io.shutdown()
    thread.join(5)
    assert sorted(race.cut_off) == [0, 1]
    assert "the client was closed during the call" in str(errors[0])


@SYNC
def test_a_race_within_background_work_ends_with_that(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    race = Race(colour, None, None)

    async def start() -> Any:
        return race.io.spawn(race.run, "race")

    handle = colour.run(start())
    colour.until(lambda: len(race.started) == 2)
    handle.cancel()
    colour.until(lambda: not handle.running)
    assert sorted(race.cut_off) == [0, 1]
    assert caplog.records == []


async def _until(condition: Callable[[], object]) -> None:
    while not condition():
        await anyio.sleep(0.001)
