"""The seam between what decides and what tells: policies speak to `Signals`, listeners hear.

A listener that fails never breaks a call: the failure is counted as `spanwire.telemetry.dropped{kind=listener}`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx

from .call import Attempt, Call
from .decisions import Decision
from .ledger import DROPPED, Account, Cell
from .metrics import ATTEMPT_COUNT, CALL_ATTEMPTS, DEADLINE_USED, PHASE_TIME

_log = logging.getLogger("spanwire")
_NOTHING: AbstractContextManager[None] = contextlib.nullcontext()


class Listener:
    """What hears of calls and decisions; override what you need. Called in the caller's thread or task: be quick."""

    def opened(self, call: Call) -> None:
        """A logical call begins."""

    def closed(self, call: Call) -> None:
        """A logical call has ended: its body is read or closed, or it failed."""

    def attempt(self, call: Call, attempt: Attempt, request: httpx.Request) -> AbstractContextManager[None]:
        """Encloses one request on the wire, up to its response headers."""
        return _NOTHING

    def wait(self, call: Call, kind: str, seconds: float | None) -> AbstractContextManager[None]:
        """Encloses a wait, whose length is known beforehand or None."""
        return _NOTHING

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
        self._ended: dict[tuple[int, str], Cell] = {}
        self._phases: dict[str, Cell] = {}
        self._kinds: dict[str, Cell] = {}
        self._shares = [account.cell(DEADLINE_USED, share) for share in ("<50", "<80", "<100", "exceeded")]
        self._zero()

    def _zero(self) -> None:
        """The series that exist from the start, so that a first increase is not lost to `rate()`."""
        for count in ("1", "2", "3", "4+"):
            for outcome in ("success", "failure"):
                self.account.cell(CALL_ATTEMPTS, count, outcome)

    # -- calls and attempts ----------------------------------------------------------------------------------------

    def open(self, call: Call) -> None:
        """A call begins."""
        self.active.value += 1
        for listener in self.listeners:
            try:
                listener.opened(call)
            except Exception:
                self._failed(listener)

    def close(self, call: Call) -> None:
        """A call has ended; later calls of this change nothing."""
        if call.ended is not None:
            return
        call.ended = now = self.clock()
        call.mark("other", now)
        self._settle(call, now)
        for listener in self.listeners:
            try:
                listener.closed(call)
            except Exception:
                self._failed(listener)

    def _settle(self, call: Call, now: float) -> None:
        """Add an ended call to the ledger."""
        self.active.value -= 1
        outcome = call.outcome or "cancelled"
        key = (len(call.attempts), outcome)
        cell = self._ended.get(key)
        if cell is None:
            count = str(key[0]) if key[0] < 4 else "4+"
            cell = self._ended[key[0] if key[0] < 4 else 4, outcome] = self.account.cell(CALL_ATTEMPTS, count, outcome)
        cell.value += 1
        for phase, seconds in call.phases.items():
            cell = self._phases.get(phase)
            if cell is None:
                cell = self._phases[phase] = self.account.cell(PHASE_TIME, phase)
            cell.value += seconds
        if call.total is not None:
            share = (now - call.started) / call.total
            self._shares[0 if share < 0.5 else 1 if share < 0.8 else 2 if share < 1 else 3].value += 1

    def attempt(self, call: Call, attempt: Attempt, request: httpx.Request) -> AbstractContextManager[None]:
        """Encloses one request on the wire."""
        cell = self._kinds.get(attempt.kind)
        if cell is None:
            cell = self._kinds[attempt.kind] = self.account.cell(ATTEMPT_COUNT, attempt.kind)
        cell.value += 1
        if len(self.listeners) == 1:
            try:
                return self.listeners[0].attempt(call, attempt, request)
            except Exception:
                self._failed(self.listeners[0])
        return self._all(lambda listener: listener.attempt(call, attempt, request)) if self.listeners else _NOTHING

    @contextlib.contextmanager
    def wait(self, call: Call, kind: str, seconds: float | None = None) -> Iterator[None]:
        """Encloses a wait of a kind that is a phase of the call: backoff, rate_limit, concurrency, token, coalesce."""
        before = call._phase
        call.mark(kind, self.clock())
        try:
            with self._all(lambda listener: listener.wait(call, kind, seconds)):
                yield
        finally:
            call.mark(before, self.clock())

    @contextlib.contextmanager
    def _all(self, enclose: Callable[[Listener], AbstractContextManager[None]]) -> Iterator[None]:
        """Enter the context managers of all listeners; one that fails to enter or exit is dropped and counted."""
        with contextlib.ExitStack() as stack:
            for listener in self.listeners:
                stack.enter_context(_Guarded(self, listener, enclose))
            yield

    # -- decisions -------------------------------------------------------------------------------------------------

    def emit(self, decision: Decision, call: Call | None = None) -> None:
        """Tell a decision: counted in the ledger, kept in the call's record, heard by every listener."""
        self.account.count(decision)
        if call is not None and not call.keep(decision, self.clock()):
            self.account.cell(DROPPED, "decision").value += 1
        for listener in (*self.listeners, *EVERYWHERE):
            try:
                listener.decided(call, decision)
            except Exception:
                self._failed(listener)

    def link(self, call: Call, context: object, relation: str) -> None:
        """Link the call's span to its cause."""
        if context is not None and not call.link(context, relation):
            self.account.cell(DROPPED, "link").value += 1

    def _failed(self, listener: Listener) -> None:
        self.account.cell(DROPPED, "listener").value += 1
        _log.debug("the listener %s failed; the call goes on", type(listener).__name__, exc_info=True)


class _Guarded:
    """A listener's context manager that cannot break what it encloses."""

    __slots__ = ("_enclose", "_inner", "_listener", "_signals")

    def __init__(self, signals: Signals, listener: Listener, enclose: Callable[[Listener], AbstractContextManager[None]]) -> None:
        self._signals, self._listener, self._enclose = signals, listener, enclose
        self._inner: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        try:
            self._inner = self._enclose(self._listener)
            self._inner.__enter__()
        except Exception:
            self._inner = None
            self._signals._failed(self._listener)

    def __exit__(self, *error: object) -> None:
        try:
            if self._inner is not None:
                self._inner.__exit__(*error)  # type: ignore[arg-type]
        except Exception as failure:
            if failure is not error[1]:
                self._signals._failed(self._listener)
