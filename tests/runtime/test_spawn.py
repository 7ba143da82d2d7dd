"""`io.spawn`: work in the background of a client that was never entered."""

from __future__ import annotations

import contextvars
import gc
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from spanwire.runtime import tasks
from tests.testing.colours import COLOURS, Colour

ASYNC = pytest.mark.parametrize("colour", ["asyncio", "trio"], indirect=True)
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


class Work:
    """Work that begins, sleeps until it is ended, and says how it ended."""

    def __init__(self, io: Any) -> None:
        self.io = io
        self.began = threading.Event()
        self.ended: list[str] = []
        self.saw = ""

    async def __call__(self) -> None:
        self.saw = variable.get()
        self.began.set()
        try:
            await self.io.sleep(30)
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise


def spawned(colour: Colour, io: Any, work: Callable[[], Any]) -> Any:
    async def start() -> Any:
        return io.spawn(work, "test")

    return colour.run(start())


def test_it_runs_beside_the_calls_and_ends_with_the_client(colour: Colour) -> None:
    io = colour.runtime()
    work = Work(io)
    handle = spawned(colour, io, work)
    colour.until(work.began.is_set)
    assert handle.running
    io.shutdown()
    colour.until(lambda: not handle.running)
    assert len(work.ended) == 1


def test_it_can_be_cancelled_by_its_owner(colour: Colour) -> None:
    io = colour.runtime()
    cancelled, other = Work(io), Work(io)
    handles = [spawned(colour, io, work) for work in (cancelled, other)]
    colour.until(lambda: cancelled.began.is_set() and other.began.is_set())
    handles[0].cancel()
    colour.until(lambda: not handles[0].running)
    assert handles[1].running
    assert (len(cancelled.ended), other.ended) == (1, [])
    handles[0].cancel()  # once more does nothing
    io.shutdown()
    colour.until(lambda: not handles[1].running)


@ASYNC
def test_it_may_be_cancelled_before_it_began(colour: Colour) -> None:
    io = colour.runtime()

    async def story() -> Any:
        handle = io.spawn(Work(io), "test")
        handle.cancel()
        return handle

    handle = colour.run(story())
    colour.until(lambda: not handle.running)


def test_it_may_be_cancelled_from_another_thread(colour: Colour) -> None:
    io = colour.runtime()
    work = Work(io)
    handle = spawned(colour, io, work)
    colour.until(work.began.is_set)
    thread = threading.Thread(target=handle.cancel)
    thread.start()
    colour.until(lambda: not handle.running)
    thread.join()


def test_work_of_a_closed_client_ends_at_once(colour: Colour) -> None:
    io = colour.runtime()
    io.shutdown()
    handle = spawned(colour, io, Work(io))
    colour.until(lambda: not handle.running)


def test_it_is_done_when_its_work_is(colour: Colour) -> None:
    async def nothing() -> None: ...

    handle = spawned(colour, colour.runtime(), nothing)
    colour.until(lambda: not handle.running)


def test_an_error_is_logged_and_not_raised(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> None:
        raise KeyError("x")

    handle = spawned(colour, colour.runtime(), failing)
    colour.until(lambda: not handle.running and caplog.records)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("spanwire", logging.WARNING)
    assert record.getMessage() == "the background work 'test' ended by an error"
    assert record.exc_info


def test_the_end_by_closing_is_not_logged(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    io = colour.runtime()
    work = Work(io)
    handle = spawned(colour, io, work)
    colour.until(work.began.is_set)
    io.shutdown()
    colour.until(lambda: not handle.running)
    assert caplog.records == []


@pytest.mark.parametrize("colour", ["sync"], indirect=True)
def test_what_its_end_by_closing_breaks_is_not_logged_either(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    io = colour.runtime()
    work = Work(io)

    async def breaking() -> None:
        try:
            await work()
        except BaseException:
            raise KeyError("x") from None

    handle = spawned(colour, io, breaking)
    colour.until(work.began.is_set)
    io.shutdown()
    colour.until(lambda: not handle.running)
    assert caplog.records == []


def test_it_sees_nothing_of_the_call_that_started_it(colour: Colour) -> None:
    io = colour.runtime()
    work = Work(io)
    variable.set("of the call")
    handle = spawned(colour, io, work)
    colour.until(work.began.is_set)
    assert work.saw == "nothing"
    io.shutdown()
    colour.until(lambda: not handle.running)


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_it_ends_with_its_loop(name: str) -> None:
    with COLOURS[name]() as colour:
        io = colour.runtime()
        work = Work(io)
        handle = spawned(colour, io, work)
        colour.until(work.began.is_set)
    assert not handle.running
    assert len(work.ended) == 1
    io.shutdown()  # its loop is gone, and nothing is to be done


@ASYNC
def test_it_is_held_while_it_waits_for_what_nobody_else_holds(colour: Colour) -> None:
    io = colour.runtime()
    ended: list[str] = []

    async def waiting() -> None:
        try:
            await anyio.Event().wait()
        finally:
            ended.append("cancelled")

    handle = spawned(colour, io, waiting)
    colour.sleep(0.001)
    gc.collect()
    assert (handle.running, ended) == (True, [])
    handle.cancel()
    colour.until(lambda: not handle.running)


def test_tasks_of_closed_loops_are_let_go() -> None:
    for _ in range(2):
        with COLOURS["asyncio"]() as colour:
            spawned(colour, colour.runtime(), anyio.sleep_forever)
    assert not tasks._held


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_in_a_forked_child_it_does_not_run_until_its_owner_starts_it_again(colour: Colour) -> None:
    io = colour.runtime()
    work = Work(io)
    handle = spawned(colour, io, work)
    colour.until(work.began.is_set)
    child = os.fork()
    if not child:
        os._exit(_of_the_child(io, handle, colour))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert handle.running
    io.shutdown()
    colour.until(lambda: not handle.running)


def _of_the_child(io: Any, handle: Any, colour: Colour) -> int:
    """The exit code of a child: 0 if the parent's work is known not to run here, and work can be started."""
    codes: list[int] = []

    def again() -> None:
        with COLOURS[colour.name]() as own:
            work = Work(io)
            handle = spawned(own, io, work)
            own.until(work.began.is_set)
            codes.append(0 if handle.running else 2)

    if handle.running:
        return 1
    thread = threading.Thread(target=again)  # which is in no event loop of the parent's
    thread.start()
    thread.join()
    return codes[0] if codes else 3
