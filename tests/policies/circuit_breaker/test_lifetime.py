"""What users do to a breaker, what it does where it only observes, and how it ends."""

from __future__ import annotations

import pytest

from spanwire.policies.circuit_breaker.states import ABANDONED, FAILURE, SUCCESS, TRANSITIONS, Reason, State

from .helpers import call, closed, half_open, opened, ticket

# -- by hand -------------------------------------------------------------------------------------------------------


def test_forced_open_refuses_until_it_is_reset():
    breaker = closed()
    moved = breaker.command(Reason.FORCED, 1.0)
    assert (moved.left, moved.entered, moved.reason, moved.seconds) == ("closed", "forced_open", "forced", None)
    refusal = ticket(breaker, 1e9).refusal
    assert (refusal.reason, refusal.rule, refusal.retry_after) == ("forced_open", None, None)
    assert repr(breaker) == "<Breaker http://h forced_open>"
    assert breaker.command(Reason.RESET, 2.0).entered == "closed"


def test_disabled_admits_everything_and_opens_for_nothing():
    breaker = closed(consecutive_failures=1, min_calls=1)
    breaker.command(Reason.DISABLED, 0.0)
    for _ in range(5):
        assert call(breaker, FAILURE, 1.0) is None
    assert breaker.state == "disabled"
    assert breaker.counts(1.0) == (0, 0)
    assert breaker.command(Reason.RESET, 2.0) is None, "only `enable` ends it"
    assert breaker.command(Reason.ENABLED, 2.0).entered == "closed"


def test_a_reset_while_closed_forgets_and_late_outcomes_count_no_more():
    breaker = closed(consecutive_failures=2)
    late = ticket(breaker, 0.0)
    call(breaker, FAILURE, 0.0)
    assert breaker.command(Reason.RESET, 1.0) is None
    assert breaker.settle(late, FAILURE, 1.0) is None
    assert breaker.counts(1.0) == (0, 0)


def test_what_makes_no_sense_in_a_state_changes_nothing():
    breaker = closed()
    assert breaker.command(Reason.ENABLED, 0.0) is None
    breaker.command(Reason.FORCED, 0.0)
    assert breaker.command(Reason.FORCED, 0.0) is None
    assert breaker.state == "forced_open"


def test_a_reset_begins_with_short_breaks_again():
    breaker = opened(break_duration=5)
    call(breaker, FAILURE, 5.0)
    breaker.command(Reason.RESET, 6.0)
    assert call(breaker, FAILURE, 7.0).seconds == 5


def test_forced_open_is_no_fault_of_the_attempt_that_tripped_it_before():
    breaker = opened()
    breaker.command(Reason.FORCED, 1.0)
    assert breaker.tripped_by is None
    assert ticket(breaker, 2.0).refusal.rule is None


# -- observing -----------------------------------------------------------------------------------------------------


def test_observe_goes_through_all_states_and_says_that_it_enforces_nothing():
    breaker = closed(consecutive_failures=1, break_duration=10, success_threshold=1, mode="observe")
    assert call(breaker, FAILURE, 0.0).enforced is False
    refused = ticket(breaker, 1.0)
    assert refused.refusal.enforced is False
    assert breaker.settle(refused, SUCCESS, 2.0) is None
    assert breaker.state == "open", "it would not have been sent"
    assert (breaker._tally.calls.value, breaker._tally.failures.value) == (1, 1)
    assert call(breaker, SUCCESS, 10.0).entered == "closed"


def test_a_disabled_configuration_begins_disabled():
    assert repr(closed(mode="disabled")) == "<Breaker http://h disabled>"


# -- time, and the end ---------------------------------------------------------------------------------------------


def test_time_in_each_state_adds_up_to_the_time_that_passed():
    breaker = opened(now=3.0, success_threshold=1)
    call(breaker, SUCCESS, 20.0)
    state, running = breaker.standing(25.0)
    assert (state, running) == ("closed", 5.0)
    told = {state.value: cell.value for state, cell in breaker._tally.time.items() if cell.value}
    assert told == {"closed": 3.0, "open": 17.0}, "half-open lasted no time at all"
    breaker.account(25.0)
    assert breaker.standing(25.0)[1] == 0.0
    assert breaker._tally.time[State.CLOSED].value == 8.0


def test_a_clock_that_another_thread_read_earlier_takes_no_time_away():
    breaker = closed()
    breaker.account(5.0)
    breaker.account(4.0)
    assert breaker._tally.time[State.CLOSED].value == 5.0
    assert breaker.standing(4.5)[1] == 0.0


def forced_open():
    breaker = closed()
    breaker.command(Reason.FORCED, 0.0)
    return breaker


@pytest.mark.parametrize(
    ("make", "gone"),
    [
        (closed, True),
        (lambda: opened(now=95.0), False),
        (lambda: opened(now=0.0), True),
        (forced_open, False),
        (lambda: closed(mode="disabled"), False),
    ],
    ids=["closed", "open", "its break is over", "forced open", "disabled"],
)
def test_only_a_breaker_that_refuses_nobody_is_let_go(make, gone):
    breaker = make()
    assert breaker.retire(100.0) is gone
    assert (breaker.acquire(100.0) is None) is gone


def test_a_breaker_with_a_call_in_flight_is_kept():
    breaker = closed()
    under_way = ticket(breaker, 0.0)
    assert not breaker.retire(1.0)
    breaker.settle(under_way, ABANDONED, 1.0)
    assert breaker.retire(1.0)


def test_a_forked_child_starts_with_nothing_in_flight_and_no_lock_held():
    breaker, probe = half_open()
    breaker._lock.acquire()
    breaker.after_fork(50.0)
    assert repr(breaker) == "<Breaker http://h half_open, 0 of 1 probes out, 0 of 2 succeeded>"
    assert ticket(breaker, 50.0).probe
    assert breaker.settle(probe, FAILURE, 50.0) is None, "that was the parent's"
    assert breaker.standing(51.0)[1] == 1.0, "the parent tells the time before"


def test_every_state_can_be_left_and_every_reason_is_of_use():
    assert set(TRANSITIONS) == set(State)
    assert {reason for ways in TRANSITIONS.values() for reason in ways} == set(Reason)
    assert all(entered is not left for left, ways in TRANSITIONS.items() for entered in ways.values())
