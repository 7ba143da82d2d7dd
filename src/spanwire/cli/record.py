"""What the command line remembers of a call beside its report: the waits, with their times."""

from __future__ import annotations

import threading
from typing import NamedTuple

from ..call import Call
from ..decisions import Decision
from ..report import Report
from ..signals import End, Listener


class Wait(NamedTuple):
    """A wait of a call, in seconds from the call's start."""

    kind: str
    start: float
    end: float


class Story(NamedTuple):
    """One call with all that is told of it."""

    report: Report
    waits: tuple[Wait, ...] = ()

    def decisions(self) -> list[tuple[float, Decision]]:
        """The decisions with their times, in seconds from the call's start."""
        times = [kept["at"] for kept in self.report.as_dict()["decisions"]]
        return list(zip(times, self.report.decisions, strict=False))


class Waits(Listener):
    """Keeps the waits of the calls under way."""

    def __init__(self) -> None:
        self._kept: dict[int, list[Wait]] = {}
        self._lock = threading.Lock()

    def wait(self, call: Call, kind: str, seconds: float | None) -> End:
        start = call.duration

        def ended() -> None:
            with self._lock:
                self._kept.setdefault(id(call), []).append(Wait(kind, start, call.duration))

        return ended

    def take(self, call: Call) -> tuple[Wait, ...]:
        """The waits of a call, which are then forgotten."""
        with self._lock:
            return tuple(self._kept.pop(id(call), ()))


class Recorder(Waits):
    """Remembers the last call that ended."""

    def __init__(self) -> None:
        super().__init__()
        self._waits: tuple[Wait, ...] = ()

    def closed(self, call: Call) -> None:
        self._waits = self.take(call)

    def story(self, report: Report) -> Story:
        """That call, as its report tells it."""
        return Story(report, self._waits)
