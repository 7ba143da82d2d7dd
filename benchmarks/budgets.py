"""The budgets: what spanwire may cost, as ratios within one run, since a machine's microseconds are its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from figures import Figure, share_of_bare, share_of_contrib
from rounds import Table

MOCK_SYNC, MOCK_ASYNC = "MockTransport, sync", "MockTransport, async"
LOOPBACK_SYNC, LOOPBACK_ASYNC = "Loopback keep-alive, sync", "Loopback keep-alive, async"
CONCURRENT = "Loopback keep-alive, async, 20 at once"


@dataclass(frozen=True)
class Budget:
    """A limit that fails the check, and the aim below it."""

    section: str
    contender: str
    measure: Callable[[Table, str], Figure | None]
    limit: float
    aim: float

    @property
    def unit(self) -> str:
        """What the ratio is of."""
        return "added CPU / contrib's" if self.measure is share_of_contrib else "CPU / bare httpx's"


BUDGETS = (
    *(Budget(mock, "spanwire no SDK", share_of_contrib, 0.12, 0.08) for mock in (MOCK_SYNC, MOCK_ASYNC)),
    *(Budget(mock, "spanwire unsampled", share_of_contrib, 0.40, 0.30) for mock in (MOCK_SYNC, MOCK_ASYNC)),
    *(Budget(mock, "spanwire sampled", share_of_contrib, 0.75, 0.65) for mock in (MOCK_SYNC, MOCK_ASYNC)),
    Budget(CONCURRENT, "spanwire sampled", share_of_bare, 0.8, 0.8),
    Budget(CONCURRENT, "spanwire sampled, wire aiohttp", share_of_bare, 0.5, 0.5),
)


@dataclass(frozen=True)
class Verdict:
    """A budget beside what was measured."""

    budget: Budget
    measured: Figure | None

    @property
    def broken(self) -> bool:
        """Over the limit, or not measured at all: a contender that failed holds no budget."""
        return self.measured is None or self.measured.median > self.budget.limit

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        if self.measured is None:
            return "**not measured**"
        if self.broken:
            return "**broken**"
        return "held" if self.measured.median <= self.budget.aim else "held, aim missed"


def judge(tables: Sequence[Table]) -> list[Verdict]:
    """A verdict for every budget whose contender was asked to play."""
    by_title = {table.section.title: table for table in tables}
    asked = [b for b in BUDGETS if b.section in by_title and b.contender in by_title[b.section].rows]
    return [Verdict(b, b.measure(by_title[b.section], b.contender)) for b in asked]
