"""The breaker's stories, at times that are said."""

from __future__ import annotations

import pytest

from spanwire.policies.circuit_breaker.states import ABANDONED, FAILURE, SUCCESS, TRANSITIONS, Reason, State
from spanwire.policies.circuit_breaker.tickets import Blame

from .helpers import ORIGIN, call, closed, half_open, opened, succeed, ticket


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
    assert (moved.reason, moved.streak, moved.threshold, moved.failures, moved.total) == ("consecutive_failures", 3, 3.0, 5, 6)


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
    assert seconds == [10, 20, 40, 60, 60, 60] and moved.trips == 7
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


# -- half-open -----------------------------------------------------------------------------------------------------


def test_the_first_call_after_the_break_is_a_probe_and_moves_it_to_half_open():
    breaker = opened()
    assert ticket(breaker, 9.99).refusal is not None
    probe = ticket(breaker, 10.0)
    moved, told = probe.told
    assert (moved.left, moved.entered, moved.reason, moved.lasted) == ("open", "half_open", "break_over", 10.0)
    assert (told.active, told.allowed, told.succeeded) == (1, 1, 0)
    assert repr(probe) == "<probe of generation 2 of http://h>"
    assert repr(breaker) == "<Breaker http://h half_open, 1 of 1 probes out, 0 of 2 succeeded>"


def test_a_half_open_caller_without_a_free_permit_is_refused_at_once_and_never_queued():
    breaker, _ = half_open()
    refusal = ticket(breaker, 10.0).refusal
    assert (refusal.reason, refusal.retry_after, refusal.rule) == ("probing", None, "consecutive_failures")


def test_probes_ramp_up_one_two_four_as_they_succeed_and_no_further_than_allowed():
    breaker, probe = half_open(half_open_max_calls=5, success_threshold=100)
    succeed(breaker, probe, 10.0)
    out = []
    for allowed in (2, 4, 5):
        while (probe := ticket(breaker, 10.0)).probe:
            out.append(probe)
        breaker.settle(probe, ABANDONED, 10.0)
        assert len(out) == allowed, repr(breaker)
        while out:
            succeed(breaker, out.pop(), 10.0)


def test_it_closes_after_enough_probes_succeeded_and_begins_anew():
    breaker, probe = half_open(success_threshold=2)
    assert succeed(breaker, probe, 10.5) is None
    moved = call(breaker, SUCCESS, 11.0)
    assert (moved.entered, moved.reason, moved.succeeded, moved.lasted) == ("closed", "probes_succeeded", 2, 1.0)
    assert (moved.failures, moved.total) == (1, 1), "the evidence that had opened it"
    assert breaker.counts(11.0) == (0, 0) and breaker.tripped_by is None


def test_one_failed_probe_opens_it_again_and_is_what_tripped_it():
    breaker, probe = half_open(success_threshold=3)
    succeed(breaker, probe, 10.0)
    first, second = ticket(breaker, 10.0), ticket(breaker, 10.0)
    moved = breaker.settle(first, FAILURE, 10.5, blame=Blame("the probe"))
    assert (moved.reason, moved.seconds, moved.succeeded) == ("probe_failed", 20.0, 1)
    assert breaker.tripped_by == "the probe"
    assert succeed(breaker, second, 10.6) is None
    assert repr(breaker) == "<Breaker http://h open until 30.500, opening 2, 1 of 1 failed>"


def test_a_slow_probe_is_a_failed_one():
    breaker, probe = half_open(slow_call_ratio=1, slow_call_duration=2)
    assert breaker.settle(probe, SUCCESS, 13.0, duration=3.0).reason == "probe_slow"


def test_a_cancelled_probe_gives_its_permit_back_and_decides_nothing():
    breaker, probe = half_open()
    assert breaker.settle(probe, ABANDONED, 10.0) is None
    assert repr(breaker) == "<Breaker http://h half_open, 0 of 1 probes out, 0 of 2 succeeded>"
    assert ticket(breaker, 10.0).probe


# -- generations ---------------------------------------------------------------------------------------------------


def test_a_stale_outcome_never_settles_the_wrong_state():
    breaker = closed(consecutive_failures=1, break_duration=10, success_threshold=1)
    late = [ticket(breaker, 0.0) for _ in range(3)]
    call(breaker, FAILURE, 0.0)
    assert breaker.settle(late[0], FAILURE, 1.0) is None and breaker.retry_after(0.0) == 10
    probe = ticket(breaker, 10.0)
    assert breaker.settle(late[1], SUCCESS, 10.0) is None and breaker.state == "half_open"
    assert breaker.settle(late[2], FAILURE, 10.0) is None and breaker.state == "half_open"
    assert not ticket(breaker, 10.0).probe, "the late ones gave back no permit of a probe's"
    assert succeed(breaker, probe, 10.0).entered == "closed"


def test_a_probe_of_an_earlier_half_open_period_does_not_settle_a_later_one():
    breaker, slow = half_open(success_threshold=2)
    breaker.command(Reason.FORCED, 11.0)
    breaker.command(Reason.RESET, 12.0)
    call(breaker, FAILURE, 13.0)
    probe = ticket(breaker, 30.0)
    assert breaker.settle(slow, FAILURE, 31.0) is None
    assert not ticket(breaker, 31.0).probe
    assert succeed(breaker, probe, 31.0) is None and breaker.state == "half_open"


def test_late_outcomes_still_count_as_calls():
    breaker = closed(consecutive_failures=1)
    late = ticket(breaker, 0.0)
    call(breaker, FAILURE, 0.0)
    breaker.settle(late, FAILURE, 1.0)
    assert (breaker._tally.calls.value, breaker._tally.failures.value) == (2, 2)


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
    assert breaker.state == "disabled" and breaker.counts(1.0) == (0, 0)
    assert breaker.command(Reason.RESET, 2.0) is None, "only `enable` ends it"
    assert breaker.command(Reason.ENABLED, 2.0).entered == "closed"


def test_a_reset_while_closed_forgets_and_late_outcomes_count_no_more():
    breaker = closed(consecutive_failures=2)
    late = ticket(breaker, 0.0)
    call(breaker, FAILURE, 0.0)
    assert breaker.command(Reason.RESET, 1.0) is None
    assert breaker.settle(late, FAILURE, 1.0) is None and breaker.counts(1.0) == (0, 0)


def test_what_makes_no_sense_in_a_state_changes_nothing():
    breaker = closed()
    assert breaker.command(Reason.ENABLED, 0.0) is None
    breaker.command(Reason.FORCED, 0.0)
    assert breaker.command(Reason.FORCED, 0.0) is None and breaker.state == "forced_open"


def test_a_reset_begins_with_short_breaks_again():
    breaker = opened(break_duration=5)
    call(breaker, FAILURE, 5.0)
    breaker.command(Reason.RESET, 6.0)
    assert call(breaker, FAILURE, 7.0).seconds == 5


def test_forced_open_is_no_fault_of_the_attempt_that_tripped_it_before():
    breaker = opened()
    breaker.command(Reason.FORCED, 1.0)
    assert breaker.tripped_by is None and ticket(breaker, 2.0).refusal.rule is None


# -- observing -----------------------------------------------------------------------------------------------------


def test_observe_goes_through_all_states_and_says_that_it_enforces_nothing():
    breaker = closed(consecutive_failures=1, break_duration=10, success_threshold=1, mode="observe")
    assert call(breaker, FAILURE, 0.0).enforced is False
    refused = ticket(breaker, 1.0)
    assert refused.refusal.enforced is False
    assert breaker.settle(refused, SUCCESS, 2.0) is None and breaker.state == "open", "it would not have been sent"
    assert (breaker._tally.calls.value, breaker._tally.failures.value) == (1, 1)
    assert call(breaker, SUCCESS, 10.0).entered == "closed"


def test_a_disabled_configuration_begins_disabled():
    assert repr(closed(mode="disabled")) == "<Breaker http://h disabled>"


# -- time, and the end -----------------------------------------------------------------------------------------------


def test_time_in_each_state_adds_up_to_the_time_that_passed():
    breaker = opened(now=3.0, success_threshold=1)
    call(breaker, SUCCESS, 20.0)
    state, running = breaker.standing(25.0)
    assert (state, running) == ("closed", 5.0)
    told = {state.value: cell.value for state, cell in breaker._tally.time.items() if cell.value}
    assert told == {"closed": 3.0, "open": 17.0}, "half-open lasted no time at all"
    breaker.account(25.0)
    assert breaker.standing(25.0)[1] == 0.0 and breaker._tally.time[State.CLOSED].value == 8.0


def test_a_clock_that_another_thread_read_earlier_takes_no_time_away():
    breaker = closed()
    breaker.account(5.0)
    breaker.account(4.0)
    assert breaker._tally.time[State.CLOSED].value == 5.0 and breaker.standing(4.5)[1] == 0.0


@pytest.mark.parametrize(
    ("make", "gone"),
    [
        (lambda: closed(), True),
        (lambda: opened(now=95.0), False),
        (lambda: opened(now=0.0), True),
        (lambda: _forced(), False),
        (lambda: closed(mode="disabled"), False),
    ],
    ids=["closed", "open", "its break is over", "forced open", "disabled"],
)
def test_only_a_breaker_that_refuses_nobody_is_let_go(make, gone):
    breaker = make()
    assert breaker.retire(100.0) is gone
    assert (breaker.acquire(100.0) is None) is gone


def _forced():
    breaker = closed()
    breaker.command(Reason.FORCED, 0.0)
    return breaker


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
