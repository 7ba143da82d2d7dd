"""A closed breaker opens by its rules, and an open one refuses."""

from __future__ import annotations

import pytest

from spanwire.policies.circuit_breaker.states import ABANDONED, FAILURE, SUCCESS

from .helpers import ORIGIN, call, closed, opened, ticket


def failing(breaker, failures, successes, now=1.0):
    """Successes first, so that the last failure is what decides."""
    for _ in range(successes):
        assert call(breaker, SUCCESS, now) is None
    return [call(breaker, FAILURE, now) for _ in range(failures)][-1]


# -- closed --------------------------------------------------------------------------------------------------------


def test_a_closed_breaker_admits_every_call_with_the_same_ticket():
    breaker = closed()
    assert ticket(breaker, 0.0) is ticket(breaker, 1.0)
    assert repr(ticket(breaker, 1.0)) == "<ticket of generation 0 of http://h>"
    assert repr(breaker) == "<Breaker http://h closed, 0 of 0 failed>"


def test_it_opens_when_the_ratio_is_reached_and_tells_the_evidence():
    breaker = closed(failure_ratio=0.3, min_calls=10, window=20, break_duration=5)
    moved = failing(breaker, failures=3, successes=7, now=4.0)
    assert moved.evidence() == {
        "spanwire.circuit_breaker.name": ORIGIN,
        "spanwire.circuit_breaker.from": "closed",
        "spanwire.circuit_breaker.to": "open",
        "spanwire.reason": "failure_ratio",
        "spanwire.circuit_breaker.generation": 1,
        "spanwire.circuit_breaker.failures": 3,
        "spanwire.circuit_breaker.total": 10,
        "spanwire.circuit_breaker.slow": 0,
        "spanwire.circuit_breaker.consecutive_failures": 3,
        "spanwire.circuit_breaker.ratio": 0.3,
        "spanwire.circuit_breaker.threshold": 0.3,
        "spanwire.circuit_breaker.window": 20.0,
        "spanwire.circuit_breaker.lasted": 4.0,
        "spanwire.circuit_breaker.probes.succeeded": 0,
        "spanwire.circuit_breaker.trips": 1,
        "spanwire.circuit_breaker.break": 5.0,
        "spanwire.enforced": True,
    }
    assert repr(breaker) == "<Breaker http://h open until 9.000, opening 1, 3 of 10 failed>"


def test_no_ratio_opens_it_below_the_least_number_of_calls():
    breaker = closed(min_calls=20)
    assert failing(breaker, failures=19, successes=0) is None
    assert call(breaker, FAILURE, 1.0).entered == "open"


def test_a_success_never_opens_it_even_if_it_makes_up_the_least_number_of_calls():
    breaker = closed(min_calls=4)
    failing(breaker, failures=3, successes=0)
    assert call(breaker, SUCCESS, 1.0) is None
    assert breaker.state == "closed"
    assert call(breaker, FAILURE, 1.0).ratio == 0.8


def test_failures_that_left_the_window_count_no_more():
    breaker = closed(min_calls=4, window=10)
    failing(breaker, failures=3, successes=0, now=0.0)
    assert call(breaker, FAILURE, 10.0) is None
    assert breaker.counts(10.0) == (1, 1)


def test_consecutive_failures_open_it_beside_the_ratio():
    breaker = closed(consecutive_failures=3)
    failing(breaker, failures=2, successes=0)
    call(breaker, SUCCESS, 1.0)
    moved = failing(breaker, failures=3, successes=0)
    assert (moved.reason, moved.streak, moved.threshold, moved.failures, moved.total) == (
        "consecutive_failures",
        3,
        3.0,
        5,
        6,
    )


def test_the_ratio_stays_on_where_consecutive_failures_are_asked_for():
    breaker = closed(consecutive_failures=100, min_calls=4)
    assert failing(breaker, failures=4, successes=0).reason == "failure_ratio"


def test_slow_calls_open_it_although_they_succeed():
    breaker = closed(slow_call_ratio=0.5, slow_call_duration=2, min_calls=4)
    for _ in range(2):
        call(breaker, SUCCESS, 1.0, duration=1.99)
    call(breaker, SUCCESS, 1.0, duration=2.0)
    moved = call(breaker, SUCCESS, 1.0, duration=9.0, context="the slow one")
    assert (moved.reason, moved.slow, moved.failures, moved.threshold) == ("slow_call_ratio", 2, 0, 0.5)
    assert breaker.tripped_by == "the slow one"


def test_what_was_abandoned_counts_for_nothing():
    breaker = closed(consecutive_failures=2, min_calls=1)
    for _ in range(10):
        assert call(breaker, ABANDONED, 1.0, duration=100.0) is None
    assert breaker.counts(1.0) == (0, 0)


def test_an_abandoned_call_does_not_end_a_row_of_failures():
    breaker = closed(consecutive_failures=2)
    call(breaker, FAILURE, 1.0)
    call(breaker, ABANDONED, 1.0)
    assert call(breaker, FAILURE, 1.0).entered == "open"


# -- open ----------------------------------------------------------------------------------------------------------


def test_an_open_breaker_refuses_and_says_when_to_come_again_and_on_what_evidence():
    breaker = opened(now=2.0)
    refusal = ticket(breaker, 5.0).refusal
    assert (refusal.reason, refusal.rule, refusal.retry_after) == ("open", "consecutive_failures", 7.0)
    assert (refusal.failures, refusal.total, refusal.streak, refusal.threshold, refusal.generation) == (1, 1, 1, 1.0, 1)
    assert refusal.enforced is True
    assert repr(ticket(breaker, 5.0)) == "<refusal of generation 1 of http://h>"


def test_who_is_refused_is_told_which_attempt_tripped_it():
    breaker = closed(consecutive_failures=2)
    call(breaker, FAILURE, 0.0, context="the first")
    call(breaker, FAILURE, 0.0, context="the second")
    assert ticket(breaker, 1.0).tripped_by == breaker.tripped_by == "the second"


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 10.0), (0.5, 11.0), (1.0, 12.0)])
def test_jitter_makes_a_break_longer_by_up_to_a_fifth_and_never_shorter(random, seconds):
    breaker = closed(consecutive_failures=1, break_duration=10)
    assert call(breaker, FAILURE, 0.0, random=random).seconds == pytest.approx(seconds)
    assert breaker.retry_after(0.0) == pytest.approx(seconds)


@pytest.mark.parametrize(("asked", "seconds"), [(3.0, 10.0), (25.0, 25.0), (3600.0, 60.0), (float("inf"), 60.0)])
def test_a_retry_after_of_the_server_is_a_floor_up_to_the_longest_break(asked, seconds):
    breaker = closed(consecutive_failures=1, break_duration=10)
    assert call(breaker, FAILURE, 0.0, retry_after=asked).seconds == seconds


def test_breaks_double_up_to_the_longest_while_probes_fail():
    breaker, now, seconds = opened(break_duration=5, max_break_duration=60), 0.0, []
    for _ in range(6):
        now += breaker.retry_after(now)
        moved = call(breaker, FAILURE, now)
        seconds.append(moved.seconds)
    assert seconds == [10, 20, 40, 60, 60, 60]
    assert moved.trips == 7
    assert moved.reason == "probe_failed"


def test_a_thousand_failed_probes_do_not_overflow():
    breaker, now = opened(break_duration=5, max_break_duration=60), 0.0
    for _ in range(2000):
        now += 100
        assert call(breaker, FAILURE, now).seconds <= 60


def test_flapping_keeps_the_break_growing_until_a_full_window_closed():
    breaker = opened(success_threshold=1, break_duration=5, window=30)
    call(breaker, SUCCESS, 5.0)
    assert call(breaker, FAILURE, 34.0).seconds == 10, "29 s after it closed"
    call(breaker, SUCCESS, 50.0)
    assert call(breaker, FAILURE, 80.0).seconds == 5, "30 s after it closed"
