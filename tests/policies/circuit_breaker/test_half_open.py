"""A half-open breaker sends probes, and no outcome settles a state that it does not belong to."""

from __future__ import annotations

from spanwire.policies.circuit_breaker.states import ABANDONED, FAILURE, SUCCESS, Reason
from spanwire.policies.circuit_breaker.tickets import Blame

from .helpers import call, closed, half_open, opened, succeed, ticket

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
    assert breaker.counts(11.0) == (0, 0)
    assert breaker.tripped_by is None


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
    assert breaker.settle(late[0], FAILURE, 1.0) is None
    assert breaker.retry_after(0.0) == 10
    probe = ticket(breaker, 10.0)
    assert breaker.settle(late[1], SUCCESS, 10.0) is None
    assert breaker.state == "half_open"
    assert breaker.settle(late[2], FAILURE, 10.0) is None
    assert breaker.state == "half_open"
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
    assert succeed(breaker, probe, 31.0) is None
    assert breaker.state == "half_open"


def test_late_outcomes_still_count_as_calls():
    breaker = closed(consecutive_failures=1)
    late = ticket(breaker, 0.0)
    call(breaker, FAILURE, 0.0)
    breaker.settle(late, FAILURE, 1.0)
    assert (breaker._tally.calls.value, breaker._tally.failures.value) == (2, 2)
