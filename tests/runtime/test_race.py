"""`io.race`: the first acceptable result wins, and nothing that the others had is lost."""

from __future__ import annotations

import pytest

from tests.runtime.races import LATER, Race, Value
from tests.testing.colours import Colour


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
