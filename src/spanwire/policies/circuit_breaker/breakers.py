"""The breakers of one client by what they guard, no more than `max_breakers` but for those that are in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice

from ...ledger import Account, Observation
from .config import CircuitBreaker
from .core import Breaker
from .decisions import (
    CALLS,
    FAILED_CALLS,
    NAME,
    REJECTIONS,
    STATE_TIME,
    STATUS,
    TRANSITION_COUNT,
    BreakerTransition,
)
from .states import TRANSITIONS, Reason, State
from .tickets import Tally, Ticket

LOOKS = 64
"""Breakers that are looked at to make room for a new one: all of them, under the lock, would cost milliseconds."""


class Breakers:
    """Breakers by name, the least recently used first. Only one that refuses nobody, with nothing in flight, is let go.

    One whose break is over, and that nobody has asked since, refuses nobody: if it stayed, a client that meets many
    dead origins would keep them all for good.
    """

    def __init__(self, config: CircuitBreaker, account: Account) -> None:
        self.config = config
        self._account = account
        self._kept: OrderedDict[str, Breaker] = OrderedDict()
        self._latest: Breaker | None = None
        """The one that was used last: most clients have but one origin, and find its breaker without a lock."""
        self._lock = threading.Lock()

    def acquire(self, name: str, now: float) -> Ticket:
        """Ask the breaker of this name, made at its first use."""
        latest = self._latest
        ticket = latest.acquire(now) if latest is not None and latest.name == name else None
        while ticket is None:  # another one, or one that was let go in this moment
            with self._lock:
                breaker = self._at(name, now)
            ticket = breaker.acquire(now)
        return ticket

    def command(self, name: str, reason: Reason, now: float) -> BreakerTransition | None:
        """Do what a user says to the breaker of this name, made if there is none; it is not let go meanwhile."""
        with self._lock:
            return self._at(name, now).command(reason, now)

    def peek(self, name: str) -> Breaker | None:
        """The breaker of this name, if there is one; to look is not to use it."""
        return self._kept.get(name)

    def all(self) -> list[Breaker]:
        """Every breaker there is."""
        with self._lock:
            return list(self._kept.values())

    def observe(self, now: float) -> Iterator[Observation]:
        """The states of now, and the time in them that is not in the account yet."""
        for breaker in self.all():
            state, running = breaker.standing(now)
            yield Observation(STATE_TIME, running, (breaker.label, state.value))
            for each in State:
                yield Observation(STATUS, float(each is state), (breaker.label, each.value))

    def account(self, now: float) -> None:
        """Put the running time into the account: other breakers take the place of these."""
        for breaker in self.all():
            breaker.account(now)

    def after_fork(self, now: float) -> None:
        """A child goes on with the same states, and with nothing in flight."""
        self._lock = threading.Lock()
        for breaker in self._kept.values():
            breaker.after_fork(now)

    def _at(self, name: str, now: float) -> Breaker:
        breaker = self._kept.get(name)
        if breaker is None:
            self._make_room(now)
            breaker = self._kept[name] = Breaker(name, self.config, now, self._tally(name))
        self._kept.move_to_end(name)
        self._latest = breaker
        return breaker

    def _make_room(self, now: float) -> None:
        """Let go of what was used least recently. Of many that must stay only a few are looked at, each in its turn."""
        for name in list(islice(self._kept, LOOKS)) if len(self._kept) >= self.config.max_breakers else ():
            if not self._kept[name].retire(now):
                self._kept.move_to_end(name)
                continue
            del self._kept[name]
            if len(self._kept) < self.config.max_breakers:
                return

    def _tally(self, name: str) -> Tally:
        """Its numbers in the client's account; what it may count is zero from now on, so that no increase is lost."""
        cell = self._account.cell
        tally = Tally(
            self._account.bounded(NAME, name),
            cell(CALLS, name),
            cell(FAILED_CALLS, name),
            {state: cell(STATE_TIME, name, state.value) for state in State},
        )
        cell(REJECTIONS, name, "false" if self.config.mode == "observe" else "true")
        for left, ways in TRANSITIONS.items():
            for reason in expected(self.config) & ways.keys():
                cell(TRANSITION_COUNT, name, left.value, ways[reason].value, reason.value)
        return tally

    def __repr__(self) -> str:
        return f"<Breakers {', '.join(f'{breaker.name} {breaker.state}' for breaker in self.all()) or 'none yet'}>"


def expected(config: CircuitBreaker) -> set[Reason]:
    """What may move a breaker by itself."""
    found = {Reason.FAILURE_RATIO, Reason.BREAK_OVER, Reason.PROBE_FAILED, Reason.PROBES_SUCCEEDED}
    if config.consecutive_failures is not None:
        found.add(Reason.CONSECUTIVE_FAILURES)
    if config.slow_call_ratio is not None:
        found |= {Reason.SLOW_CALL_RATIO, Reason.PROBE_SLOW}
    return found
