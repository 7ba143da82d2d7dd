"""What the demo sees of its two clients: a listener on each counts calls and attempts, by time and by phase."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from ...call import FAILED_STATUS, Attempt, Call
from ...decisions import Decision
from ...report import Report
from .. import words
from ..record import Story, Waits
from .script import Script

SLICES = 240
"""Pieces that the demo's time is cut into for the charts."""
_LATELY = 5.0
"""Seconds that the percentiles look back."""
Tally = Counter[str]
"""Counts by `calls`, `success`, `failure`, `rejected`, `attempts`, `failed_attempts`, `retries`."""


class Told(NamedTuple):
    """A line of what was decided lately: one for all decisions of a kind that a client took in a phase."""

    at: float
    client: str
    phase: int
    title: str
    decision: Decision
    times: int


class Board:
    """Everything that the screen shows, gathered from the threads and loops of the clients."""

    def __init__(self, script: Script, clock: Callable[[], float]) -> None:
        self.script, self.clock = script, clock
        self.lock = threading.Lock()
        self.totals: dict[str, Tally] = {}
        self.phases: dict[str, list[Tally]] = {}
        self.slices: dict[str, list[Tally]] = {}
        self.took: dict[str, deque[tuple[float, float]]] = {}
        self.told: deque[Told] = deque(maxlen=64)
        self.best: dict[str, tuple[int, Story]] = {}

    def watch(self, client: str) -> Watch:
        """A listener for one client."""
        self.totals[client] = Tally()
        self.phases[client] = [Tally() for _ in self.script.phases]
        self.slices[client] = [Tally() for _ in range(SLICES)]
        self.took[client] = deque(maxlen=2000)
        return Watch(client, self)

    def percentile(self, client: str, share: float) -> float | None:
        """The duration of calls that this share of the latest ones did not exceed, in seconds."""
        since = self.clock() - _LATELY
        with self.lock:
            found = sorted(seconds for at, seconds in self.took[client] if at >= since)
        return found[min(int(share * len(found)), len(found) - 1)] if found else None

    def slice(self, now: float) -> int:
        """The slice of the time line that a time falls into."""
        return max(0, min(int((now - self.script.began) / self.script.duration * SLICES), SLICES - 1))


class Watch(Waits):
    """Hears of the calls of one client and writes them to the board."""

    def __init__(self, client: str, board: Board) -> None:
        super().__init__()
        self._client, self._board = client, board

    def closed(self, call: Call) -> None:
        story = Story(Report(call), self.take(call))
        counts = _counts(call)
        board, now = self._board, self._board.clock()
        with board.lock:
            for tally in self._tallies(call.started):
                tally.update(counts)
            if call.outcome != "rejected":
                board.took[self._client].append((now, call.duration))
            self._keep(call, story)

    def _tallies(self, now: float) -> tuple[Tally, Tally, Tally]:
        board, name = self._board, self._client
        return board.totals[name], board.phases[name][board.script.at(now)[0]], board.slices[name][board.slice(now)]

    def _keep(self, call: Call, story: Story) -> None:
        """Keep the most telling story of each outcome."""
        score, outcome = telling(call), call.outcome or ""
        if score > self._board.best.get(outcome, (0, None))[0]:
            self._board.best[outcome] = (score, story)

    def decided(self, call: Call | None, decision: Decision) -> None:
        board, now = self._board, self._board.clock()
        new = Told(now - board.script.began, self._client, board.script.at(now)[0], words.title(decision), decision, 1)
        with board.lock:
            for place, told in enumerate(board.told):
                if told[1:4] == new[1:4]:
                    board.told[place] = told._replace(decision=decision, times=told.times + 1)
                    return
            board.told.append(new)


def failed(attempt: Attempt) -> bool:
    """Whether the origin failed an attempt; one that was cut off had no answer in time."""
    return attempt.status is None or attempt.status >= 500 or attempt.status in FAILED_STATUS


def _counts(call: Call) -> Tally:
    lost = (
        call.outcome == "failure" and call.error is not None and bool(call.attempts) and not failed(call.attempts[-1])
    )
    return Tally({
        "calls": 1, call.outcome or "cancelled": 1, "attempts": len(call.attempts),
        "failed_attempts": sum(map(failed, call.attempts)) + lost,  # a body that broke off
        "retries": sum(attempt.kind == "retry" for attempt in call.attempts),
    })  # fmt: skip


def telling(call: Call) -> int:
    """How much there is to see in a call: attempts of different outcomes, and decisions of different kinds."""
    outcomes = {attempt.status or attempt.error for attempt in call.attempts}
    return len(call.attempts) + 2 * len(outcomes) + 2 * len({decision.NAME for _, decision in call.decisions})
