"""Any sequence of events, against a naive model of what may happen."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spanwire.policies.circuit_breaker import CircuitBreaker
from spanwire.policies.circuit_breaker.core import Breaker
from spanwire.policies.circuit_breaker.states import ABANDONED, FAILURE, SUCCESS, TRANSITIONS, Reason, State
from spanwire.policies.circuit_breaker.tickets import Blame

WINDOW = 10.0
VERDICTS = st.sampled_from([SUCCESS, FAILURE, ABANDONED])
COMMANDS = st.sampled_from([Reason.FORCED, Reason.DISABLED, Reason.ENABLED, Reason.RESET])


class AnyLife(RuleBasedStateMachine):
    """A breaker lives through anything; the model keeps a list of what was counted and of who is out."""

    @initialize(
        ratio=st.sampled_from([0.25, 0.5, 1.0]),
        least=st.integers(1, 6),
        row=st.none() | st.integers(1, 4),
        most=st.integers(1, 6),
        wanted=st.integers(1, 4),
        slow=st.none() | st.sampled_from([0.5, 1.0]),
    )
    def begin(self, *, ratio, least, row, most, wanted, slow):
        self.config = CircuitBreaker(
            failure_ratio=ratio, min_calls=least, consecutive_failures=row, half_open_max_calls=most, window=WINDOW,
            success_threshold=wanted, slow_call_ratio=slow, slow_call_duration=None if slow is None else 1,
        )  # fmt: skip
        self.breaker = Breaker("b", self.config, 0.0)
        self.now = 0.0
        self.state = State.CLOSED
        self.generation = 0
        self.counted: list[tuple[int, bool, bool]] = []
        self.out: list = []
        self.judged = self.failed = 0

    # -- what happens ----------------------------------------------------------------------------------------------

    @rule(seconds=st.floats(0, 15))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def a_call_comes(self):
        until = self.breaker._until
        probes = self.probes()
        ticket = self.breaker.acquire(self.now)
        for decision in ticket.told:
            if decision.NAME.endswith("transition"):
                assert self.now >= until
                self.moved(decision)
                probes = []
        if self.state in (State.CLOSED, State.DISABLED):
            assert not ticket.told
        elif self.state is State.HALF_OPEN:
            assert ticket.probe is (len(probes) < self.allowed())
        else:
            assert ticket.refusal is not None
        assert ticket.generation == self.generation
        self.out.append(ticket)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), verdict=VERDICTS, slow=st.booleans(), random=st.floats(0, 1))
    def a_call_ends(self, data, verdict, slow, random):
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        expected = self.expected(ticket, verdict, slow and self.config.slow_call_ratio is not None)
        moved = self.breaker.settle(ticket, verdict, self.now, 2.0 if slow else 0.1, Blame(ticket, 0.0, random))
        assert (moved.reason if moved else None) == expected
        if moved is not None:
            self.moved(moved)

    @rule(reason=COMMANDS)
    def a_user_says(self, reason):
        moved = self.breaker.command(reason, self.now)
        if moved is not None:
            self.moved(moved)
        elif reason is Reason.RESET and self.state is State.CLOSED:
            self.generation += 1
            self.counted.clear()
            self.row = 0

    # -- the model -------------------------------------------------------------------------------------------------

    row = 0
    succeeded = 0

    def probes(self):
        return [ticket for ticket in self.out if ticket.probe and ticket.generation == self.generation]

    def allowed(self):
        allowed = 1
        while 2 * allowed <= self.succeeded + 1:
            allowed *= 2
        return min(allowed, self.config.half_open_max_calls)

    def expected(self, ticket, verdict, slow):
        """The reason why the naive model would move."""
        if verdict is ABANDONED or ticket.refusal is not None:
            return None
        failed = verdict is FAILURE
        self.judged += 1
        self.failed += failed
        if ticket.generation != self.generation or self.state is State.DISABLED:
            return None
        if self.state is State.HALF_OPEN:
            if failed or slow:
                return "probe_failed" if failed else "probe_slow"
            self.succeeded += 1
            return "probes_succeeded" if self.succeeded == self.config.success_threshold else None
        self.counted.append((int(self.now * (10 / WINDOW)), failed, slow))
        self.row = self.row + 1 if failed else 0
        return self.rule_that_applies() if failed or slow else None

    def rule_that_applies(self):
        config, recent = self.config, self.recent()
        if config.consecutive_failures is not None and self.row >= config.consecutive_failures:
            return "consecutive_failures"
        if len(recent) < config.min_calls:
            return None
        if sum(failed for _, failed, _ in recent) / len(recent) >= config.failure_ratio:
            return "failure_ratio"
        slow = sum(slow for _, _, slow in recent) / len(recent)
        return "slow_call_ratio" if config.slow_call_ratio is not None and slow >= config.slow_call_ratio else None

    def recent(self):
        newest = int(self.now * (10 / WINDOW))
        return [each for each in self.counted if each[0] > newest - 10]

    def moved(self, decision):
        assert decision.left == self.state
        assert decision.entered == TRANSITIONS[self.state][Reason(decision.reason)]
        self.generation += 1
        assert decision.generation == self.generation
        if decision.entered == "open":
            assert self.config.break_duration <= decision.seconds <= 1.2 * self.config.max_break_duration
        self.state, self.succeeded = State(decision.entered), 0
        if self.state is State.CLOSED:
            self.counted.clear()
            self.row = 0

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def it_agrees_with_the_model(self):
        assert self.breaker.state is self.state
        assert self.breaker._generation == self.generation
        assert (self.breaker._tally.calls.value, self.breaker._tally.failures.value) == (self.judged, self.failed)

    @invariant()
    def counts_are_exact(self):
        if self.state is State.CLOSED:
            recent = self.recent()
            assert self.breaker.counts(self.now) == (sum(failed for _, failed, _ in recent), len(recent))

    @invariant()
    def no_more_permits_are_out_than_allowed_and_none_is_lost(self):
        assert self.breaker._probes == len(self.probes())
        assert self.breaker._in_flight == len(self.out)
        if self.state is State.HALF_OPEN:
            assert self.breaker._probes <= self.allowed() <= self.config.half_open_max_calls

    @invariant()
    def only_what_is_open_has_a_culprit(self):
        assert (self.breaker.tripped_by is not None) is (self.state in (State.OPEN, State.HALF_OPEN))

    @invariant()
    def time_in_the_states_adds_up(self):
        told = sum(cell.value for cell in self.breaker._tally.time.values())
        assert abs(told + self.breaker.standing(self.now)[1] - self.now) < 1e-6


AnyLife.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
test_any_life_of_a_breaker_is_as_the_naive_model_says = AnyLife.TestCase
