"""What the demo's origin does when: phases that share the demo's duration, whatever that is."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ...testing.origin import Answer


@dataclass(frozen=True, slots=True)
class Phase:
    """A way to behave. Shares are of the demo's time or of the requests; latencies are in seconds."""

    name: str
    about: str
    share: float
    latency: tuple[float, float] = (0.004, 0.02)
    hanging: float = 0.0
    """Requests that are answered only long after any client's patience."""
    refusing: float = 0.0
    """Requests that are answered with 503 during a burst; some say when to come again."""
    resetting: float = 0.0
    cutting: float = 0.0

    def answer(self, progress: float, chance: random.Random) -> Answer:
        """What to do with a request at this progress, 0 to 1, through the phase."""
        draw, delay = chance.random(), chance.uniform(*self.latency)
        for share, answer in (
            (self.resetting, Answer(delay=delay, fault="reset")),
            (self.cutting, Answer(delay=delay, body=_BODY, fault="reset_midway")),
            (self.hanging, Answer(delay=HANG)),
            (self.refusing if _burst(progress) else 0.0, Answer(503, _later(chance), delay=delay)),
        ):
            if draw < share:
                return answer
            draw -= share
        return Answer(200, _TYPE, _BODY, delay)


_TYPE, _BODY = {"content-type": "application/json"}, '{"invoice": 42, "state": "paid"}'
HANG = 0.8
"""Seconds; longer than the demo's clients give an attempt."""
_BURSTS = 3


def _burst(progress: float) -> bool:
    """Bursts and pauses of equal length, beginning with a burst."""
    return int(progress * _BURSTS * 2) % 2 == 0


def _later(chance: random.Random) -> dict[str, str]:
    return {"retry-after": "1"} if chance.random() < 0.1 else {}


PHASES = (
    Phase("steady", "every request is answered within 20 ms", 0.12),
    Phase("latency", "answers take up to 250 ms, and one in twelve comes too late", 0.14, (0.05, 0.25), hanging=0.08),
    Phase("503", "bursts in which four of ten requests get a 503, some with Retry-After", 0.17, refusing=0.4),
    Phase(
        "resets", "connections are reset before an answer, or in the middle of it", 0.14, resetting=0.2, cutting=0.03
    ),
    Phase("outage", "nothing is answered any more", 0.17, resetting=1.0),
    Phase("recovery", "it is back, slow, and at times with 503", 0.14, (0.03, 0.12), refusing=0.15),
    Phase("steady", "every request is answered within 20 ms again", 0.12),
)


class Script:
    """The phases on a clock: they begin at `began` and take `duration` seconds."""

    def __init__(self, duration: float, phases: tuple[Phase, ...] = PHASES) -> None:
        self.duration, self.phases = duration, phases
        self.began = 0.0

    def at(self, now: float) -> tuple[int, float]:
        """The index of the phase at a time, and the progress through it; the last phase goes on."""
        left = max(0.0, (now - self.began) / self.duration)
        for index, phase in enumerate(self.phases):
            if left < phase.share:
                return index, left / phase.share
            left -= phase.share
        return len(self.phases) - 1, 1.0

    def answer(self, now: float, chance: random.Random) -> Answer:
        """What the origin does with a request at a time."""
        index, progress = self.at(now)
        return self.phases[index].answer(progress, chance)

    def ends(self) -> list[float]:
        """Where each phase ends, as a share of the whole."""
        shares = [phase.share for phase in self.phases]
        return [sum(shares[: index + 1]) for index in range(len(shares))]

    def __repr__(self) -> str:
        return f"<Script of {len(self.phases)} phases, {self.duration:g} s>"
