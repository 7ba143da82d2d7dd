"""The deadlines of one asyncio loop: two at once, one timer for all, and nothing held."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from contextlib import suppress

import pytest

from spanwire.loopdeadline import LoopDeadline
from tests.runtime.virtualloop import VirtualLoop, deadline, run

LATE = 30.0

# -- two at once -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_a_cancellation_in_the_same_step_is_not_swallowed(cancelled_first: bool) -> None:
    async def story() -> tuple[bool, int]:
        limits: list[LoopDeadline] = []

        async def cut() -> None:
            limits.append(limit := deadline(LATE))
            with limit:
                await asyncio.sleep(LATE * 2)

        task = asyncio.create_task(cut())
        await asyncio.sleep(0)
        both = (task.cancel, limits[0].expire)
        for step in both if cancelled_first else both[::-1]:
            step()
        await asyncio.wait([task])
        return task.cancelled(), task.cancelling()

    assert run(story())[0] == (True, 1)


def test_a_task_that_was_cancelled_before_can_still_be_cut() -> None:
    async def story() -> tuple[str, int]:
        task = asyncio.current_task()
        assert task
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        try:
            with deadline(1):
                await asyncio.sleep(LATE)
        except TimeoutError:
            return "cut", task.cancelling()
        return "not cut", task.cancelling()

    assert run(story())[0] == ("cut", 1)


def test_the_deadline_of_a_task_that_has_ended_harms_nobody() -> None:
    async def abandoning() -> None:
        deadline(1).__enter__()

    async def story() -> float:
        await asyncio.create_task(abandoning())
        await asyncio.sleep(2)
        return asyncio.get_running_loop().time()

    assert run(story())[0] == 2


# -- one timer ---------------------------------------------------------------------------------------------------------


def test_a_thousand_deadlines_need_one_timer() -> None:
    async def one() -> None:
        with deadline(10):
            await asyncio.Event().wait()

    async def story() -> int:
        ended = await asyncio.gather(*(one() for _ in range(1000)), return_exceptions=True)
        return sum(isinstance(error, TimeoutError) for error in ended)

    found, loop = run(story())
    assert (found, loop.now, loop.timers) == (1000, 10, 1)


def test_deadlines_that_are_met_need_one_timer_in_a_deadline_s_length() -> None:
    async def story() -> None:
        for _ in range(1000):
            with deadline(10):
                await asyncio.sleep(0)
        await asyncio.sleep(25)

    _, loop = run(story())
    assert loop.timers == 2  # the deadlines', and the sleep's


def test_an_earlier_deadline_is_kept_though_a_later_one_was_first() -> None:
    async def one(length: float) -> float:
        try:
            with deadline(length):
                await asyncio.sleep(LATE)
        except TimeoutError:
            pass
        return asyncio.get_running_loop().time()

    async def story() -> list[float]:
        return await asyncio.gather(*(one(length) for length in (5, 3, 1, 2, 4)))

    assert run(story())[0] == [5, 3, 1, 2, 4]


def test_loops_that_take_turns_in_a_thread_keep_their_deadlines() -> None:
    async def cut() -> str:
        try:
            with deadline(1):
                await asyncio.sleep(LATE)
        except TimeoutError:
            return "cut"
        return "not cut"

    with asyncio.Runner(loop_factory=VirtualLoop) as one, asyncio.Runner(loop_factory=VirtualLoop) as other:
        under_way = one.get_loop().create_task(cut())
        assert [runner.run(cut()) for runner in (one, other, one, other)] == ["cut"] * 4
        assert under_way.result() == "cut"


# -- nothing is held ---------------------------------------------------------------------------------------------------


def test_a_closed_loop_is_not_held() -> None:
    async def story() -> None:
        with deadline(10):
            await asyncio.sleep(0)

    held = weakref.ref(run(story())[1])
    gc.collect()
    assert held() is None


def test_a_timer_holds_nothing_of_the_call_that_armed_it() -> None:
    class Baggage: ...

    variable: contextvars.ContextVar[Baggage] = contextvars.ContextVar("variable")

    async def call() -> weakref.ref[Baggage]:
        baggage = Baggage()
        variable.set(baggage)
        with deadline(10):
            await asyncio.sleep(0)
        return weakref.ref(baggage)

    async def story() -> bool:
        held = await asyncio.create_task(call(), context=contextvars.Context())
        await asyncio.sleep(0)
        gc.collect()
        return held() is None

    assert run(story())[0]
