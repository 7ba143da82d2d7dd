"""The breaker itself: no clock, no randomness, no I/O. `now` and a random number are arguments.

Rules of this file:
1. The state changes in `_move` alone, by the table of `states.py`.
2. A call is admitted by a ticket of the current generation, and each change of state begins another generation: an
   outcome that comes late counts as a call, but never settles a state that it does not belong to.
3. A lock guards the state. It is never held while anybody is told: decisions are returned, and told by the caller.
4. A ticket is settled exactly once, whatever became of its call; ABANDONED gives back what it took and counts nothing.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from .config import CircuitBreaker
from .decisions import BreakerProbe, BreakerRejected, BreakerTransition
from .states import ABANDONED, CLOSED, FAILURE, TRANSITIONS, Reason, State, Verdict
from .tickets import NOBODY, Blame, Tally, Ticket
from .window import Window

JITTER = 0.2
"""A break is longer than it need be by up to this share, so that not all clients probe in the same second."""


class Breaker:
    """One circuit breaker. The calls of its state count; `state` and `tripped_by` may be read at any time."""

    __slots__ = (
        "_config", "_enforced", "_generation", "_in_flight", "_lock", "_probes", "_retired", "_rule", "_since", "_slow",
        "_standing", "_streak", "_succeeded", "_tally", "_told_until", "_trips", "_until", "_window", "name", "state",
        "tripped_by",
    )  # fmt: skip

    def __init__(self, name: str, config: CircuitBreaker, now: float, tally: Tally | None = None) -> None:
        self.name = name
        self.state = initial(config)
        self.tripped_by: Any = None
        """The context of the attempt that opened it, until it is closed."""
        self._config = config
        self._enforced = config.mode != "observe"
        self._slow = math.inf if config.slow_call_duration is None else config.slow_call_duration
        self._lock = threading.Lock()
        self._tally = tally or Tally.fresh(name)
        self._window = Window(config.window)
        self._since = self._told_until = now
        self._until = 0.0
        self._rule: Reason | None = None
        self._generation = self._trips = self._in_flight = self._streak = 0
        self._retired = False
        self._enter(self.state)

    # -- asked by calls --------------------------------------------------------------------------------------------

    def acquire(self, now: float) -> Ticket | None:
        """A ticket for a call, to be settled even if it is a refusal; None from a breaker that was retired."""
        with self._lock:
            ticket = self._standing or self._asked(now)
            if ticket is not None:
                self._in_flight += 1
            return ticket

    def settle(
        self, ticket: Ticket, verdict: Verdict, now: float, duration: float = 0.0, blame: Blame = NOBODY
    ) -> BreakerTransition | None:
        """What became of a ticket's call, and the change of state that follows, to be told by the caller."""
        slow = duration >= self._slow
        with self._lock:
            self._in_flight -= 1
            current = ticket.generation == self._generation
            if current and ticket.probe:
                self._probes -= 1
            if verdict is ABANDONED or ticket.refusal is not None:
                return None
            failed = verdict is FAILURE
            self._tally.calls.value += 1
            if failed:
                self._tally.failures.value += 1
            if not current:
                return None
            reason = self._probed(failed, slow) if ticket.probe else self._counted(now, failed, slow)
            return None if reason is None else self._move(reason, now, blame)

    def passed(self, ticket: Ticket, now: float) -> bool:
        """Settle a success of the state that stands, as nearly every call is one; False if `settle` is needed."""
        with self._lock:
            if ticket is not self._standing or self.state is not CLOSED:
                return False
            self._in_flight -= 1
            self._tally.calls.value += 1
            self._streak = 0
            self._window.add(now, False, False)
            return True

    # -- told by users ---------------------------------------------------------------------------------------------

    def command(self, reason: Reason, now: float) -> BreakerTransition | None:
        """FORCED, DISABLED, ENABLED or RESET, and the change of state, if it is one; RESET forgets in any case."""
        with self._lock:
            if reason in TRANSITIONS[self.state]:
                return self._move(reason, now)
            if reason is Reason.RESET and self.state is State.CLOSED:
                self._generation += 1
                self._enter(State.CLOSED)
            return None

    # -- the machine; the lock is held -----------------------------------------------------------------------------

    def _asked(self, now: float) -> Ticket | None:
        """A breaker that is not closed is asked: a probe, or a refusal."""
        if self._retired:
            return None
        told: tuple[BreakerTransition, ...] = ()
        if self.state is State.OPEN and now >= self._until:
            told = (self._move(Reason.BREAK_OVER, now),)
        if self.state is State.HALF_OPEN and self._probes < self._allowed:
            self._probes += 1
            return Ticket(self, self._generation, (*told, self._probe()))
        return Ticket(self, self._generation, (self._refusal(now),))

    def _counted(self, now: float, failed: bool, slow: bool) -> Reason | None:
        """Count a call while closed. Only a failure or a slow call opens: a success is evidence against it."""
        if self.state is not CLOSED:
            return None
        self._window.add(now, failed, slow)
        if failed:
            self._streak += 1
            return self._broken_rule()
        self._streak = 0
        return self._broken_rule() if slow else None

    def _broken_rule(self) -> Reason | None:
        config, window = self._config, self._window
        if config.consecutive_failures is not None and self._streak >= config.consecutive_failures:
            return Reason.CONSECUTIVE_FAILURES
        if window.calls < config.min_calls:
            return None
        if window.ratio >= config.failure_ratio:
            return Reason.FAILURE_RATIO
        if config.slow_call_ratio is not None and window.slow / window.calls >= config.slow_call_ratio:
            return Reason.SLOW_CALL_RATIO
        return None

    def _probed(self, failed: bool, slow: bool) -> Reason | None:
        """A probe has come back: one that failed, or was slow, is enough to open again."""
        if failed:
            return Reason.PROBE_FAILED
        if slow:
            return Reason.PROBE_SLOW
        self._succeeded += 1
        return Reason.PROBES_SUCCEEDED if self._succeeded >= self._config.success_threshold else None

    @property
    def _allowed(self) -> int:
        """Probes at once: 1, and twice as many after each full round of successes, as TCP's slow start."""
        return int(min(self._config.half_open_max_calls, 2 ** ((self._succeeded + 1).bit_length() - 1)))

    def _move(self, reason: Reason, now: float, blame: Blame = NOBODY) -> BreakerTransition:
        left, entered = self.state, TRANSITIONS[self.state][reason]
        self._account(now)
        lasted, seconds = max(0.0, now - self._since), None
        if entered is State.OPEN:
            seconds = self._break(reason, lasted, blame)
            self._until = now + seconds
        self._generation += 1
        moved = BreakerTransition(
            **self._evidence(),
            left=left.value,
            entered=entered.value,
            reason=reason.value,
            lasted=lasted,
            succeeded=self._succeeded,
            seconds=seconds,
        )
        self._since = now
        self._trips = 0 if reason in (Reason.RESET, Reason.ENABLED) else self._trips
        self._enter(entered)
        return moved

    def _break(self, reason: Reason, lasted: float, blame: Blame) -> float:
        """Seconds to refuse for: doubled at each opening, but one after a full window closed is the first again."""
        config, closed = self._config, self.state is State.CLOSED
        self._trips = 1 if closed and lasted >= config.window else self._trips + 1
        self._rule = reason if closed else self._rule
        self.tripped_by = blame.context
        doubled = config.break_duration * 2.0 ** min(self._trips - 1, 64)
        return min(config.max_break_duration, max(doubled, blame.retry_after)) * (1 + JITTER * blame.random)

    def _enter(self, state: State) -> None:
        """Begin a state: nothing of the one before is under way any more."""
        self.state = state
        self._probes = self._succeeded = 0
        if state not in (State.OPEN, State.HALF_OPEN):
            self.tripped_by = self._rule = None
        if state is State.CLOSED:
            self._streak = 0
            self._window.clear()
        passes = state in (State.CLOSED, State.DISABLED)
        self._standing = Ticket(self, self._generation) if passes else None

    def _account(self, now: float) -> None:
        """Put the time that has passed in this state into the tally."""
        passed = max(0.0, now - self._told_until)  # first: a call within `+=` lets other breakers of the cell in
        self._tally.time[self.state].value += passed
        self._told_until = max(now, self._told_until)

    # -- evidence; the lock is held --------------------------------------------------------------------------------

    def _evidence(self) -> dict[str, Any]:
        window, config = self._window, self._config
        thresholds = {
            Reason.CONSECUTIVE_FAILURES: config.consecutive_failures,
            Reason.SLOW_CALL_RATIO: config.slow_call_ratio,
        }
        return {
            "breaker": self.name,
            "generation": self._generation,
            "failures": window.failures,
            "total": window.calls,
            "slow": window.slow,
            "streak": self._streak,
            "ratio": window.ratio,
            "threshold": float(thresholds.get(self._rule or Reason.FAILURE_RATIO) or config.failure_ratio),
            "window": config.window,
            "trips": self._trips,
            "enforced": self._enforced,
        }

    def _probe(self) -> BreakerProbe:
        return BreakerProbe(**self._evidence(), active=self._probes, allowed=self._allowed, succeeded=self._succeeded)

    def _refusal(self, now: float) -> BreakerRejected:
        return BreakerRejected(
            **self._evidence(),
            reason="probing" if self.state is State.HALF_OPEN else self.state.value,
            rule=None if self._rule is None else self._rule.value,
            retry_after=self.retry_after(now),
        )

    # -- asked by those who keep it --------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """Its name in metrics."""
        return self._tally.label

    def standing(self, now: float) -> tuple[State, float]:
        """The state, and the seconds in it that are not in the tally yet."""
        with self._lock:
            return self.state, max(0.0, now - self._told_until)

    def account(self, now: float) -> None:
        """Put the time that has passed in this state into the tally: nobody may ask again."""
        with self._lock:
            self._account(now)

    def retire(self, now: float) -> bool:
        """End it, if nothing is lost by that: nothing is in flight, and it refuses nobody now."""
        with self._lock:
            kept = self.state in (State.FORCED_OPEN, State.DISABLED) or (self.state is State.OPEN and now < self._until)
            if self._in_flight > 0 or kept:
                return False
            self._account(now)
            self._retired, self._standing = True, None
            return True

    def after_fork(self, now: float) -> None:
        """In a child: whoever holds the lock may not be here, and what is in flight belongs to the parent."""
        self._lock = threading.Lock()
        self._in_flight = 0
        self._told_until = now
        self._generation += 1
        self._enter(self.state)

    def retry_after(self, now: float) -> float | None:
        """Seconds until it asks the origin again; None unless it is open."""
        return max(0.0, self._until - now) if self.state is State.OPEN else None

    def counts(self, now: float) -> tuple[int, int]:
        """Failed calls and calls of the window; while it is not closed, those at which it opened."""
        with self._lock:
            if self.state is State.CLOSED:
                self._window.advance(now)
            return self._window.failures, self._window.calls

    def __repr__(self) -> str:
        return f"<Breaker {self.name} {self._shown()}>"

    def _shown(self) -> str:
        counts = f"{self._window.failures} of {self._window.calls} failed"
        if self.state is State.HALF_OPEN:
            wanted = self._config.success_threshold
            return f"half_open, {self._probes} of {self._allowed} probes out, {self._succeeded} of {wanted} succeeded"
        if self.state is State.OPEN:
            return f"open until {self._until:.3f}, opening {self._trips}, {counts}"
        return f"closed, {counts}" if self.state is State.CLOSED else self.state.value


def initial(config: CircuitBreaker) -> State:
    """The state that a breaker begins in."""
    return State.DISABLED if config.mode == "disabled" else State.CLOSED
