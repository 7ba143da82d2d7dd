"""Counts over a sliding window, exact to a tenth of its length.

Ten buckets by a clock that only grows, as in Polly's RollingHealthMetrics: an outcome is in the sums from when it is
added until its bucket is ten buckets old. Nothing decays or is estimated, so the evidence can be counted by hand.
"""

from __future__ import annotations

BUCKETS = 10


class Window:
    """How many calls there were in the last `seconds`, how many of them failed and how many were slow."""

    __slots__ = ("_bucket", "_buckets", "_index", "_rate", "calls", "failures", "slow")

    def __init__(self, seconds: float) -> None:
        self._rate = BUCKETS / seconds
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.calls = self.failures = self.slow = 0
        self._buckets = [[0, 0, 0] for _ in range(BUCKETS)]
        self._index = -1
        self._bucket = self._buckets[-1]

    def add(self, now: float, failed: bool, slow: bool) -> None:
        """Count one call. One that comes with an earlier time than another before it counts as of now."""
        index = int(now * self._rate)
        if index > self._index:
            self._advance(index)
        bucket = self._bucket
        bucket[0] += 1
        self.calls += 1
        if failed:
            bucket[1] += 1
            self.failures += 1
        if slow:
            bucket[2] += 1
            self.slow += 1

    def advance(self, now: float) -> None:
        """Let go of what is too old."""
        index = int(now * self._rate)
        if index > self._index:
            self._advance(index)

    def _advance(self, index: int) -> None:
        for past in range(max(self._index + 1, index + 1 - BUCKETS), index + 1):
            self._empty(self._buckets[past % BUCKETS])
        self._index = index
        self._bucket = self._buckets[index % BUCKETS]

    def _empty(self, bucket: list[int]) -> None:
        self.calls -= bucket[0]
        self.failures -= bucket[1]
        self.slow -= bucket[2]
        bucket[:] = 0, 0, 0

    @property
    def ratio(self) -> float:
        """The share of failed calls; 0 without calls."""
        return self.failures / self.calls if self.calls else 0.0

    def __repr__(self) -> str:
        return f"<Window {self.failures} of {self.calls} failed, {self.slow} slow>"
