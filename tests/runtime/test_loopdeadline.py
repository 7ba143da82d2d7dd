"""Deadlines on asyncio beside `asyncio.timeout`: the same ends at the same times, with one timer for all."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanwire.loopdeadline import LoopDeadline

LATE = 30.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when there is nothing else to do."""

    now = 0.0
    timers = 0

    def time(self) -> float:
        return self.now

    def call_at(self, *arguments: Any, **named: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*arguments, **named)

    def _run_once(self) -> None:
        due = [handle._when for handle in self._scheduled if not handle._cancelled]  # type: ignore[attr-defined]
        if due and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, min(due))
        super()._run_once()  # type: ignore[misc]


def run(story: Coroutine[Any, Any, Any]) -> tuple[Any, VirtualLoop]:
    """What a story comes to in virtual time, and the loop that it ran on, closed. Complaints of the loop are errors."""
    complaints: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        result = runner.run(story)
    assert not complaints
    assert isinstance(loop, VirtualLoop)
    return result, loop


def deadline(seconds: float) -> LoopDeadline:
    task = asyncio.current_task()
    assert task
    return LoopDeadline(task, seconds)


# -- the same ends at the same times -----------------------------------------------------------------------------------

Limit = Callable[[float], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def ours(seconds: float) -> Any:
    with deadline(seconds):
        yield


seconds = st.floats(0.01, 10, allow_nan=False)
leaves = st.one_of(st.tuples(st.just("sleep"), seconds), st.just(("fail",)))
programs = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("limit"), seconds, inner),
        st.tuples(st.just("catch"), inner),
        st.tuples(st.just("swallow"), inner),
        st.tuples(st.just("clean up"), inner, inner),
        st.tuples(st.just("then"), inner, inner),
    ),
    max_leaves=8,
)


class Interpreter:
    """Runs a program of sleeps, errors, limits and clean-ups, and notes when each of them ends."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.notes: list[tuple[str, float]] = []

    def note(self, what: str) -> None:
        self.notes.append((what, round(asyncio.get_running_loop().time(), 9)))

    async def do(self, program: Any) -> None:
        match program:
            case ("sleep", length):
                await asyncio.sleep(length)
                self.note("slept")
            case ("fail",):
                raise KeyError
            case ("limit", length, inner):
                async with self.limit(length):
                    await self.do(inner)
            case ("then", first, second):
                await self.do(first)
                await self.do(second)
            case ("catch", inner):
                await self.catching(inner, TimeoutError)
            case ("swallow", inner):
                await self.catching(inner, asyncio.CancelledError)
            case ("clean up", inner, cleaning):
                try:
                    await self.do(inner)
                finally:
                    await self.do(cleaning)

    async def catching(self, inner: Any, kind: type[BaseException]) -> None:
        try:
            await self.do(inner)
        except kind:
            self.note(f"caught {kind.__name__}")

    async def main(self, program: Any) -> None:
        try:
            await self.do(program)
        except BaseException as error:
            self.note(type(error).__name__)
        task = asyncio.current_task()
        assert task
        self.note(f"cancelling {task.cancelling()}")


async def together(limit: Limit, many: list[Any], cancels: list[tuple[int, float]]) -> list[list[tuple[str, float]]]:
    """Programs that run at the same time, each in a task; some of them are cancelled at some time."""
    interpreters = [Interpreter(limit) for _ in many]
    tasks = [asyncio.create_task(it.main(program)) for it, program in zip(interpreters, many, strict=True)]
    for number, when in cancels:
        asyncio.get_running_loop().call_later(when, tasks[number % len(tasks)].cancel)
    await asyncio.wait(tasks)
    return [it.notes for it in interpreters]


@settings(deadline=None, max_examples=300)
@given(st.lists(programs, min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 3), seconds), max_size=2))
def test_any_program_ends_as_with_asyncio_timeout(many: list[Any], cancels: list[tuple[int, float]]) -> None:
    expected, _ = run(together(asyncio.timeout, many, cancels))
    found, _ = run(together(ours, many, cancels))
    assert found == expected


ticks = st.integers(1, 4)


@settings(deadline=None, max_examples=200)
@given(st.lists(ticks, min_size=1, max_size=4), ticks, st.one_of(st.none(), ticks), st.booleans())
def test_whatever_falls_on_the_same_tick_no_cancellation_is_lost_or_left(
    limits: list[int], sleep: int, cancel: int | None, cancel_first: bool
) -> None:
    async def nested(lengths: list[int]) -> None:
        if not lengths:
            return await asyncio.sleep(sleep)
        with deadline(lengths[0]):
            await nested(lengths[1:])

    async def story() -> tuple[str, float, int]:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(nested(limits))
        if cancel is not None and cancel_first:
            loop.call_at(cancel, task.cancel)
        await asyncio.sleep(0)
        if cancel is not None and not cancel_first:
            loop.call_at(cancel, task.cancel)
        await asyncio.wait([task])
        ended = "cancelled" if task.cancelled() else type(task.exception()).__name__
        return ended, loop.time(), task.cancelling()

    (ended, when, cancelling), _ = run(story())
    first = min(*limits, sleep, *([cancel] if cancel else []))
    possible = {"TimeoutError"} if min(limits) == first else set()
    possible |= {"NoneType"} if sleep == first else set()
    possible |= {"cancelled"} if cancel == first else set()
    assert ended in possible
    assert (when, cancelling) == (first, int(ended == "cancelled"))


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
