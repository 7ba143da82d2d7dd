"""`io.deadline`: a block is cut when its time is up, and nothing else is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx
import pytest
import trio

from spanwire.runtime.anyio import AsyncRuntime
from tests.testing.colours import COLOURS, Colour

SOON, LATE = 0.005, 30.0


@pytest.fixture(params=["asyncio", "trio"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """An async colour; on asyncio, whatever happens, no cancellation may be left over."""
    with COLOURS[request.param]() as colour:
        yield colour


@contextmanager
def leaving_no_cancellation() -> Iterator[None]:
    try:
        yield
    finally:
        task = asyncio_task()
        assert task is None or task.cancelling() == 0


def asyncio_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def test_a_block_that_is_in_time_is_left_alone(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> str:
        with leaving_no_cancellation(), io.deadline(LATE):
            await anyio.sleep(0)
            return "done"

    assert colour.run(story()) == "done"


@pytest.mark.parametrize("seconds", [SOON, 0, -1])
def test_a_block_that_takes_longer_is_cut(colour: Colour, seconds: float) -> None:
    io = colour.runtime()

    async def story() -> None:
        with leaving_no_cancellation(), io.deadline(seconds):
            await anyio.sleep(LATE)

    with pytest.raises(TimeoutError):
        colour.run(story())


def test_no_deadline_cuts_nothing(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> str:
        with io.deadline(math.inf):
            await anyio.sleep(SOON)
        return "done"

    assert colour.run(story()) == "done"


def test_an_error_inside_is_raised_as_it_is(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> None:
        with leaving_no_cancellation(), io.deadline(LATE):
            raise KeyError("x")

    with pytest.raises(KeyError):
        colour.run(story())


def test_an_error_in_the_clean_up_after_a_cut_is_raised_as_it_is(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> None:
        with leaving_no_cancellation(), io.deadline(SOON):
            try:
                await anyio.sleep(LATE)
            finally:
                raise KeyError("x")

    with pytest.raises(KeyError):
        colour.run(story())


def test_of_two_the_inner_may_come_first_and_the_outer_goes_on(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> str:
        with leaving_no_cancellation(), io.deadline(LATE):
            with pytest.raises(TimeoutError), io.deadline(SOON):
                await anyio.sleep(LATE)
            await anyio.sleep(0)
            return "gone on"

    assert colour.run(story()) == "gone on"


def test_of_two_the_outer_may_come_first_and_the_inner_knows_nothing(colour: Colour) -> None:
    io = colour.runtime()
    inner: list[str] = []

    async def story() -> None:
        with leaving_no_cancellation(), io.deadline(SOON):
            try:
                with io.deadline(LATE):
                    await anyio.sleep(LATE)
            except TimeoutError:
                inner.append("cut")

    with pytest.raises(TimeoutError):
        colour.run(story())
    assert inner == []


def test_two_may_come_at_once_and_the_outer_wins(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> None:
        with leaving_no_cancellation(), io.deadline(0), io.deadline(0):
            await anyio.sleep(LATE)

    with pytest.raises(TimeoutError):
        colour.run(story())


def test_a_task_may_be_cut_again_and_again(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> int:
        cuts = 0
        for _ in range(20):
            try:
                with leaving_no_cancellation(), io.deadline(0):
                    await anyio.sleep(LATE)
            except TimeoutError:
                cuts += 1
        return cuts

    assert colour.run(story()) == 20


def test_cancellation_from_outside_is_not_swallowed(colour: Colour) -> None:
    io = colour.runtime()
    ended: list[str] = []

    async def story() -> bool:
        with leaving_no_cancellation(), anyio.move_on_after(SOON) as scope:
            try:
                with io.deadline(LATE):
                    await anyio.sleep(LATE)
            except TimeoutError:
                ended.append("cut")
        return scope.cancelled_caught

    assert colour.run(story())
    assert ended == []


def test_cancellation_from_outside_wins_while_a_cut_is_under_way(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> tuple[bool, str]:
        ended = "cancelled"
        with leaving_no_cancellation(), anyio.CancelScope() as scope:
            try:
                with io.deadline(0):
                    try:
                        await anyio.sleep(LATE)
                    finally:
                        scope.cancel()
                        with anyio.CancelScope(shield=True):
                            await anyio.sleep(0)
                ended = "in time"
            except TimeoutError:
                ended = "cut"
                await anyio.sleep(0)
                ended = "cut, and then not cancelled"
        return scope.cancel_called, ended

    assert colour.run(story()) in ((True, "cancelled"), (True, "cut"))


def test_a_cut_reaches_into_a_task_group(colour: Colour) -> None:
    io = colour.runtime()
    ended: list[str] = []

    async def child() -> None:
        try:
            await anyio.sleep(LATE)
        finally:
            ended.append("cancelled")

    async def story() -> None:
        with leaving_no_cancellation(), io.deadline(SOON):
            async with anyio.create_task_group() as group:
                group.start_soon(child)
                group.start_soon(child)

    with pytest.raises(TimeoutError):
        colour.run(story())
    assert ended == ["cancelled"] * 2


def test_trio_keeps_its_own_deadlines_as_a_guest_on_asyncio() -> None:
    io = AsyncRuntime(httpx.MockTransport(lambda request: httpx.Response(200)))

    async def cut() -> str:
        try:
            with io.deadline(0):
                await trio.sleep(LATE)
        except TimeoutError:
            return "cut"
        return "not cut"

    async def host() -> str:
        ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            cut,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=ended.set_result,
        )
        found: str = (await ended).unwrap()
        return found

    assert asyncio.run(host()) == "cut"


def test_in_sync_nothing_can_be_cut() -> None:
    io = Colour().runtime()
    assert not io.cuts
    with io.deadline(-1):
        pass
