"""Deadlines on asyncio beside `asyncio.timeout`: the same ends at the same times, whatever happens inside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.virtualloop import deadline, run

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
