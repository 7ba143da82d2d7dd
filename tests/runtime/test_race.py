"""`io.race`: the first acceptable result wins, the losers are cut off, and nothing that they had is lost."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from spanwire import ClientClosed
from spanwire.runtime import threads
from tests.testing.colours import Colour

ASYNC = pytest.mark.parametrize("colour", ["asyncio", "trio"], indirect=True)
SYNC = pytest.mark.parametrize("colour", ["sync"], indirect=True)
AT_ONCE, LATER = 0.0, 30.0


class Value:
    """What a runner comes to; discarded or not."""

    def __init__(self, name: str, good: bool = True) -> None:
        self.name, self.good = name, good
        self.discarded = 0

    def __repr__(self) -> str:
        return self.name


class Race:
    """A race of runners that each come to a value, raise an error, or wait until they are cut off (None)."""

    def __init__(self, colour: Colour, *ends: Value | Exception | None) -> None:
        self.colour, self.ends = colour, ends
        self.io = colour.runtime()
        self.started: list[int] = []
        self.cut_off: list[int] = []

    async def runner(self, index: int) -> Value:
        self.started.append(index)
        end = self.ends[index]
        if end is None:
            try:
                await self.io.sleep(30)
            finally:
                self.cut_off.append(index)
        if isinstance(end, Exception):
            raise end
        assert end
        return end

    async def discard(self, value: Value) -> None:
        value.discarded += 1

    def acceptable(self, value: Value) -> bool:
        return value.good

    async def run(self, delay: float = AT_ONCE) -> Value:
        extra = len(self.ends) - 1
        found: Value = await self.io.race(self.runner, delay, extra, self.acceptable, self.discard)
        return found

    def result(self, delay: float = AT_ONCE) -> Value:
        found: Value = self.colour.run(self.run(delay))
        return found

    def all_discarded(self, *, but: Value | None = None) -> bool:
        values = [end for end in self.ends if isinstance(end, Value)]
        return all(value.discarded == (value is not but) for value in values)


# -- who wins ----------------------------------------------------------------------------------------------------------


def test_a_runner_alone_wins(colour: Colour) -> None:
    assert Race(colour, one := Value("one")).result() is one
    assert one.discarded == 0


def test_the_first_acceptable_result_wins_and_the_loser_is_cut_off(colour: Colour) -> None:
    race = Race(colour, None, two := Value("two"))
    assert race.result() is two
    colour.until(lambda: race.cut_off == [0])
    assert two.discarded == 0


def test_no_further_runner_starts_before_its_time(colour: Colour) -> None:
    race = Race(colour, Value("one"), Value("two"))
    assert race.result(LATER) is race.ends[0]
    assert race.started == [0]


def test_a_failure_starts_the_next_at_once(colour: Colour) -> None:
    race = Race(colour, KeyError("one"), KeyError("two"), Value("three"))
    assert race.result(LATER) is race.ends[2]


def test_an_unacceptable_result_starts_the_next_at_once_and_is_discarded(colour: Colour) -> None:
    one, two = Value("one", good=False), Value("two")
    assert Race(colour, one, two).result(LATER) is two
    colour.until(lambda: (one.discarded, two.discarded) == (1, 0))


def test_where_all_fail_the_error_is_the_first_runner_s(colour: Colour) -> None:
    with pytest.raises(KeyError, match="one"):
        Race(colour, KeyError("one"), OSError("two"), OSError("three")).result()


def test_where_none_is_acceptable_the_result_is_the_first_runner_s(colour: Colour) -> None:
    one, two = Value("one", good=False), Value("two", good=False)
    race = Race(colour, one, two, KeyError("three"))
    assert race.result() is one
    colour.until(lambda: race.all_discarded(but=one))


def test_an_error_of_the_first_is_raised_though_a_later_one_had_a_result(colour: Colour) -> None:
    two = Value("two", good=False)
    with pytest.raises(KeyError):
        Race(colour, KeyError("one"), two).result()
    colour.until(lambda: two.discarded == 1)


def test_judging_that_fails_is_a_failure_of_the_runner_and_loses_nothing(colour: Colour) -> None:
    race = Race(colour, one := Value("one"))
    race.acceptable = lambda value: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(ZeroDivisionError):
        race.result()
    colour.until(lambda: one.discarded == 1)


def test_discarding_that_fails_does_not_fail_the_call(colour: Colour) -> None:
    race = Race(colour, Value("one", good=False), two := Value("two"))

    async def failing(value: Value) -> None:
        raise OSError("closing failed")

    race.discard = failing  # type: ignore[method-assign]
    assert race.result() is two


# -- who is cut off ----------------------------------------------------------------------------------------------------


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


# -- threads -----------------------------------------------------------------------------------------------------------


@SYNC
def test_threads_are_bounded_and_a_race_without_one_goes_on(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "RUNNERS", 3)
    colour.until(lambda: not _runners())  # those of the test before
    first, second = Race(colour, None, None), Race(colour, None, Value("two"), Value("three"))
    second.io = first.io
    call = threading.Thread(target=_ignoring_closing, args=(first.result,))
    call.start()
    colour.until(lambda: len(first.started) == 2)
    waiting = threading.Thread(target=_ignoring_closing, args=(second.result,))
    waiting.start()
    colour.until(lambda: len(second.started) == 1)
    third = Race(colour, Value("one"), None)
    third.io = first.io
    assert third.result() is third.ends[0]  # in the caller's own thread
    assert len(_runners()) == 3
    first.io.shutdown()
    call.join(5)
    waiting.join(5)
    assert second.started == [0]
    colour.until(lambda: not _runners())


@SYNC
def test_a_closed_client_races_no_more(colour: Colour) -> None:
    race = Race(colour, Value("one"))
    race.result()
    race.io.shutdown()
    race.result()
    assert race.started == [0, 0]


@SYNC
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 1)
    race = Race(colour, None, two := Value("two"))
    assert race.result() is two
    monkeypatch.setattr("os.getpid", lambda: 2)
    assert race.result() is two
    colour.until(lambda: race.cut_off == [0, 0])


def _runners() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("spanwire-race")]


def _ignoring_closing(call: Callable[[], object]) -> None:
    with contextlib.suppress(ClientClosed):
        call()


async def _until(condition: Callable[[], object]) -> None:
    while not condition():
        await anyio.sleep(0.001)
