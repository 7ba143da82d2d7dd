"""Whether a client's memory stays flat: many calls on MockTransport, the resident set measured along the way.

Flat means: between the first and the last quarter of the samples after the warm-up, the median grows by no more than
TOLERANCE. Twenty bytes kept per call would be four megabytes here.
"""

from __future__ import annotations

import gc
import statistics
import sys
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped,unused-ignore]
from contenders import EVERYWHERE, Stage
from rounds import MOCK_URL
from slices import Slices

CALLS, STEP, WARM_UP, TOLERANCE = 200_000, 4_000, 48_000, 2 * 2**20


@dataclass(frozen=True)
class Growth:
    """The samples of one client, in bytes, one every STEP calls; the first WARM_UP calls are not judged."""

    name: str
    samples: list[int]

    @property
    def quarters(self) -> tuple[float, float]:
        """Medians of the first and of the last quarter of the samples after the warm-up."""
        judged = self.samples[WARM_UP // STEP :]
        quarter = max(1, len(judged) // 4)
        return statistics.median(judged[:quarter]), statistics.median(judged[-quarter:])

    @property
    def flat(self) -> bool:
        """Whether it grew by no more than the tolerance."""
        first, last = self.quarters
        return last - first <= TOLERANCE


def watch(name: str, asynchronous: bool, calls: int) -> Growth:
    """Make the calls and sample."""
    (contender,) = [one for one in EVERYWHERE if one.name == name]
    slices, process, samples = Slices(Stage(asynchronous, mock=True), MOCK_URL), psutil.Process(), []
    player = slices.open(contender)
    for _ in range(0, calls, STEP):
        slices.measure(player, STEP)
        samples.append(process.memory_info().rss)
    slices.end(player)
    slices.close()
    gc.collect()
    print(f"{name}, {'async' if asynchronous else 'sync'}: done", file=sys.stderr)
    return Growth(f"{name}, {'async' if asynchronous else 'sync'}", samples)


def table(grown: list[Growth]) -> str:
    """The results as Markdown."""
    tolerance = f"{TOLERANCE / 2**20:.0f} MiB"
    lines = [
        f"Resident set in MiB, sampled every {STEP:,} calls; warm-up {WARM_UP:,} calls, tolerance {tolerance}.",
        "",
        "| client | calls | start | first quarter | last quarter | growth | |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    return "\n".join([*lines, *map(line, grown)])


def line(one: Growth) -> str:
    """One client."""
    first, last = one.quarters
    sizes = [f"{value / 2**20:.1f}" for value in (one.samples[0], first, last)]
    growth, word = f"{(last - first) / 2**20:+.2f}", "flat" if one.flat else "**grows**"
    return f"| {' | '.join([one.name, f'{len(one.samples) * STEP:,}', *sizes, growth, word])} |"
