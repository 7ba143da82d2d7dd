"""`io.race` in sync: its threads are bounded, its own, and end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from spanwire import ClientClosed
from spanwire.runtime import threads
from tests.runtime.races import Race, Value
from tests.testing.colours import Colour

SYNC = pytest.mark.parametrize("colour", ["sync"], indirect=True)


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


@SYNC
def test_of_two_that_win_while_the_caller_starts_a_third_one_is_discarded(
    colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, report, started = threads.Runners.start, threads.Race._report, list[object]()
    go, won = threading.Event(), threading.Semaphore(0)

    def starting(runners: threads.Runners, work: Callable[[], None]) -> bool:
        started.append(work)
        if len(started) == 3:
            go.set()
            assert won.acquire(timeout=5)
            assert won.acquire(timeout=5)
        return start(runners, work)

    def reporting(race: Any, ended: Any) -> None:
        report(race, ended)
        won.release()

    monkeypatch.setattr(threads.Runners, "start", starting)
    monkeypatch.setattr(threads.Race, "_report", reporting)
    race = Race(colour, Value("one"), Value("two"), Value("three"))
    race.acceptable = lambda value: go.wait(5)  # type: ignore[method-assign]
    winner = race.result()
    colour.until(lambda: race.all_discarded(but=winner))


@SYNC
def test_of_two_that_win_at_once_one_is_discarded(colour: Colour) -> None:
    both = threading.Barrier(2)
    one, two = Value("one"), Value("two")
    race = Race(colour, one, two)

    def acceptable(value: Value) -> bool:
        both.wait(5)
        return True

    race.acceptable = acceptable  # type: ignore[method-assign]
    winner = race.result()
    colour.until(lambda: race.all_discarded(but=winner))
