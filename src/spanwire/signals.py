"""The seam between what decides and what tells: policies speak to `Signals`, listeners hear.

A listener that fails never breaks a call: the failure is counted as `spanwire.telemetry.dropped{kind=listener}`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import httpx

from .call import Attempt, Call
from .decisions import Decision
from .ledger import DROPPED, Account, Cell
from .metrics import ATTEMPT_COUNT, CALL_ATTEMPTS, DEADLINE_USED, PHASE_TIME
from .redact import untold

_log = logging.getLogger("spanwire")


End = Callable[[], None]
"""What a listener returns when something begins that it wants to hear the end of."""


class Listener:
    """What hears of calls and decisions; override what you need. Called in the caller's thread or task: be quick."""

    def opened(self, call: Call) -> None:
        """A logical call begins."""

    def closed(self, call: Call) -> None:
        """A logical call has ended: its body is read or closed, or it failed."""

    def attempt(self, call: Call, attempt: Attempt, request: httpx.Request) -> End | None:
        """A request goes on the wire; what is returned is called at its response headers or its error."""
        return None

    def wait(self, call: Call, kind: str, seconds: float | None) -> End | None:
        """A wait begins, whose length is known beforehand or None; what is returned is called at its end."""
        return None

    def decided(self, call: Call | None, decision: Decision) -> None:
        """A decision was taken, on behalf of a call or, in the background, of none."""


EVERYWHERE: list[Listener] = []
"""Listeners that hear the decisions of all clients, such as `telemetry.log_decisions`; only `decided` is called."""


class Signals:
    """Where the policies of one client tell what they do: to its account, the call's record and the listeners."""

    def __init__(self, account: Account, listeners: tuple[Listener, ...], clock: Callable[[], float]) -> None:
        self.account = account
        self.listeners = listeners
        self.clock = clock
        self.active = Cell()
        self._ended: dict[tuple[int, str | None], Cell] = {}
        self._phases: dict[str, Cell] = {}
        self._kinds: dict[str, Cell] = {}
        self._shares = [account.cell(DEADLINE_USED, share) for share in ("<50", "<80", "<100", "exceeded")]
        self._zero()

    def _zero(self) -> None:
        """The series that exist from the start, so that a first increase is not lost to `rate()`."""
        for outcome in ("success", "failure"):
            self.account.cell(CALL_ATTEMPTS, "1", outcome)

    # -- calls and attempts ----------------------------------------------------------------------------------------

    def open(self, call: Call) -> None:
        """A call begins."""
        self.active.value += 1
        for listener in self.listeners:
            try:
                listener.opened(call)
            except Exception as error:
                self.failed(listener, error)
            except BaseException:  # such as a cancellation: nobody else would end the call
                self.close(call)
                raise

    def close(self, call: Call) -> None:
        """A call has ended; later calls of this change nothing."""
        if call.ended is not None:
            return
        call.ended = call.started  # at once: the clock is a call, and lets in whoever else ends it in this moment
        call.ended = now = self.clock()
        call.body = None  # which refers to the call: a circle per call would be work for the garbage collector
        call.mark("other", now)
        self.active.value -= 1
        cell = self._ended.get((len(call.attempts), call.outcome))
        if cell is None:
            cell = self._ending(len(call.attempts), call.outcome)
        cell.value += 1
        for phase, seconds in call.phases.items():
            cell = self._phases.get(phase)
            if cell is None:
                cell = self._phases[phase] = self.account.cell(PHASE_TIME, phase)
            cell.value += seconds
        if call.total is not None:
            share = (now - call.started) / call.total
            used_up = share >= 1 or call.error == "spanwire.DeadlineExceeded"  # which may come a tick early
            self._shares[3 if used_up else 0 if share < 0.5 else 1 if share < 0.8 else 2].value += 1
        for listener in self.listeners:
            try:
                listener.closed(call)
            except Exception as error:
                self.failed(listener, error)

    def _ending(self, attempts: int, outcome: str | None) -> Cell:
        """The cell of calls that ended so, remembered for small numbers of attempts."""
        cell = self.account.cell(CALL_ATTEMPTS, str(attempts) if attempts < 4 else "4+", outcome or "cancelled")
        if attempts < 4:
            self._ended[attempts, outcome] = cell
        return cell

    def attempt(self, call: Call, attempt: Attempt, request: httpx.Request) -> End | None:
        """A request goes on the wire; `ended` wants what is returned."""
        cell = self._kinds.get(attempt.kind)
        if cell is None:
            cell = self._kinds[attempt.kind] = self.account.cell(ATTEMPT_COUNT, attempt.kind)
        cell.value += 1
        first: End | None = None
        for listener in self.listeners:
            try:
                end = listener.attempt(call, attempt, request)
            except Exception as error:
                self.failed(listener, error)
            else:
                if end is not None:
                    first = end if first is None else _Both(self, end, first)
        return first

    def ended(self, end: End) -> None:
        """What began has ended: the listeners that wanted to hear it do, the innermost first."""
        try:
            end()
        except Exception as error:
            self.failed(end, error)

    @contextlib.contextmanager
    def wait(self, call: Call, kind: str, seconds: float | None = None) -> Iterator[None]:
        """Encloses a wait of a kind that is a phase of the call: backoff, rate_limit, concurrency, token, coalesce."""
        before = call.phase
        call.mark(kind, self.clock())
        ends = [end for end in self._waiting(call, kind, seconds) if end is not None]
        try:
            yield
        finally:
            for end in reversed(ends):
                self.ended(end)
            call.mark(before, self.clock())

    def _waiting(self, call: Call, kind: str, seconds: float | None) -> Iterator[End | None]:
        for listener in self.listeners:
            try:
                yield listener.wait(call, kind, seconds)
            except Exception as error:
                self.failed(listener, error)

    # -- decisions -------------------------------------------------------------------------------------------------

    def emit(self, decision: Decision, call: Call | None = None) -> None:
        """Tell a decision: counted in the ledger, kept in the call's record, heard by every listener."""
        self.account.count(decision)
        if call is not None and not call.keep(decision, self.clock()):
            self.account.cell(DROPPED, "decision").value += 1
        for listener in (*self.listeners, *EVERYWHERE):
            try:
                listener.decided(call, decision)
            except Exception as error:
                self.failed(listener, error)

    def link(self, call: Call, context: object, relation: str) -> None:
        """Link the call's span to its cause."""
        if context is not None and not call.link(context, relation):
            self.account.cell(DROPPED, "link").value += 1

    def failed(self, listener: object, error: Exception) -> None:
        """A listener failed: it is counted, and the call goes on."""
        self.account.cell(DROPPED, "listener").value += 1
        _log.debug("the listener %s failed; the call goes on", type(listener).__qualname__, exc_info=untold(error))


class _Both:
    """The ends of several listeners, the innermost first."""

    __slots__ = ("_first", "_second", "_signals")

    def __init__(self, signals: Signals, first: End, second: End) -> None:
        self._signals, self._first, self._second = signals, first, second

    def __call__(self) -> None:
        self._signals.ended(self._first)
        self._signals.ended(self._second)
