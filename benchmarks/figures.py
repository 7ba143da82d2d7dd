"""Medians, spreads, and comparisons within the round."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rounds import Row, Table

YARDSTICK, BASELINE = "contrib", "bare httpx"


@dataclass(frozen=True)
class Figure:
    """The median of some rounds, their quartiles, and the 95 % interval of that median."""

    median: float
    quartiles: tuple[float, float]
    interval: tuple[float, float]


def figure(values: Sequence[float]) -> Figure:
    """Summarise; the interval is the distribution-free one, between two order statistics."""
    ordered, count = sorted(values), len(values)
    low = statistics.quantiles(ordered, n=4, method="inclusive") if count > 1 else [ordered[0]] * 3
    reach = 0.98 * math.sqrt(count)
    first, last = max(0, math.floor(count / 2 - reach)), min(count - 1, math.ceil(count / 2 + reach))
    return Figure(statistics.median(ordered), (low[0], low[2]), (ordered[first], ordered[last]))


def of(table: Table, name: str) -> Row | None:
    """A row that has figures."""
    row = table.rows.get(name)
    return row if row and row.cpu and not row.failure else None


def added(table: Table, name: str) -> list[float] | None:
    """CPU seconds that a contender adds to a call of its baseline, round by round."""
    row = of(table, name)
    baseline = of(table, row.contender.baseline) if row else None
    return [ours - bare for ours, bare in zip(row.cpu, baseline.cpu, strict=True)] if row and baseline else None


def share_of_contrib(table: Table, name: str) -> Figure | None:
    """What a contender adds as a share of what the contrib instrumentation adds in the same round."""
    ours, yardstick = added(table, name), added(table, YARDSTICK)
    return figure([a / b for a, b in zip(ours, yardstick, strict=True)]) if ours and yardstick else None


def share_of_bare(table: Table, name: str) -> Figure | None:
    """CPU of a contender as a share of bare httpx's in the same round."""
    row, bare = of(table, name), of(table, BASELINE)
    return figure([ours / theirs for ours, theirs in zip(row.cpu, bare.cpu, strict=True)]) if row and bare else None
