"""A listener that writes down what it hears, as lines that a test can compare with what it expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from ..call import Attempt, Call
from ..decisions import Decision, Record, described
from ..signals import End, Listener

_ORDINARY = ("primary", "retry")


class Recorder(Listener):
    """Logs attempts, waits and decisions in the order in which they happen: `Client(listeners=[recorder])`.

    `recorder.log` reads, for a call that was tried twice:

        ["attempt 1 503", "retry.scheduled status backoff 0.1s", "wait backoff 0.1s", "attempt 2 200"]

    A line has what is the same in every run: the number of an attempt, its kind where it is neither the first nor a
    retry, its status or error; the kind and the planned length of a wait; of a decision its name, the reasons and
    states that it names from closed sets, and the seconds that it decided on. `decisions(name)` gives all the evidence.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.log: list[str] = []
        self.calls: list[Call] = []
        """The calls that have ended."""
        self._decisions: list[Decision] = []

    def decisions(self, name: str | None = None) -> list[Decision]:
        """The decisions of a name, such as "retry.scheduled", with or without "spanwire." before it; or all of them."""
        return [decision for decision in self._decisions if name is None or _short(decision.NAME) == _short(name)]

    @property
    def attempts(self) -> list[str]:
        """The lines of the log that tell of attempts."""
        return self._lines("attempt ")

    @property
    def waits(self) -> list[str]:
        """The lines of the log that tell of waits."""
        return self._lines("wait ")

    def _lines(self, start: str) -> list[str]:
        return [line for line in self.log if line.startswith(start)]

    # -- what it hears -----------------------------------------------------------------------------------------------

    def closed(self, call: Call) -> None:
        self.calls.append(call)

    def attempt(self, call: Call, attempt: Attempt, request: httpx.Request) -> End:
        def end() -> None:
            kind = () if attempt.kind in _ORDINARY else (attempt.kind,)
            outcome = attempt.error or attempt.status or "cancelled"
            self.log.append(" ".join(("attempt", str(attempt.number), *kind, str(outcome))))

        return end

    def wait(self, call: Call, kind: str, seconds: float | None) -> None:
        self.log.append(f"wait {kind}" if seconds is None else f"wait {kind} {seconds:g}s")

    def decided(self, call: Call | None, decision: Decision) -> None:
        self._decisions.append(decision)
        self.log.append(" ".join((_short(decision.NAME), *_gist(decision))))

    def __repr__(self) -> str:
        return f"<Recorder {self.log}>"


def _short(name: str) -> str:
    return name.removeprefix("spanwire.")


def _gist(decision: Decision) -> Iterator[str]:
    """What is the same in every run: the values from closed sets, then the seconds that go to a histogram."""
    kind: Any = type(decision)
    for name, attribute in described(kind).items():
        value = getattr(decision, name)
        if isinstance(value, str) and value in attribute.values:
            yield value
    if not decision.enforced:
        yield "observed"
    for move in decision.MOVES:
        if isinstance(move, Record):
            unit = "s" if move.metric.unit == "s" else ""
            yield f"{getattr(decision, move.value):g}{unit}"
