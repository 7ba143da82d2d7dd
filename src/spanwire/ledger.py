"""The ledger: the integers of the clients, kept once, read by metrics and by `client.metrics()` alike.

A `Cell` is one number of one series; whoever counts holds the cell and adds to it. An `Account` has the cells of one
client. A `Book` has the accounts of the clients that report to one meter provider, and the sums of those that ended,
so that no counter ever goes back when clients come and go. Nothing here refers to a client.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .decisions import CLIENT, METRICS, Attribute, Count, Decision, Metric, counter, labels_of
from .redact import untold

OTHER = "_other"
_log = logging.getLogger("spanwire")

DROPPED = counter(
    "spanwire.telemetry.dropped", "{item}", "What telemetry had to leave out.",
    Attribute("spanwire.telemetry.kind", "What was left out.", values=("listener", "series", "decision", "link")),
)  # fmt: skip


class Cell:
    """One number of one series. `cell.value += n` is how it is counted."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Observation(NamedTuple):
    """What an `updown` metric is now: its value under its labels."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


Labels = tuple[str, ...]
Seen = dict[str, set[str]]
"""The different values that each attribute has had."""
Observe = Callable[[], Iterable[Observation]]


def _bounded(seen: Seen, attribute: Attribute, label: str) -> str:
    if attribute.values or not attribute.limit:
        return label
    with _folding:
        kept = seen.setdefault(attribute.key, set())
        if label in kept or len(kept) < attribute.limit:
            kept.add(label)
            return label
    return OTHER


class Account:
    """The numbers of one client: its cells by metric and labels, and how to ask its policies for the values of now."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.label = client
        """The client's name in metrics: `_other` if too many names were told before it."""
        self.cells: dict[Metric, dict[Labels, Cell]] = {}
        self.observe: Observe = tuple
        self.observed: frozenset[Metric] = frozenset()
        """The metrics that `observe` speaks of; what it says of a counter adds to the counter's cell."""
        self._seen: Seen = {}
        self.seen_by_name = self._seen
        """The labels of all clients of this name, which may come and go faster than anybody looks."""
        self._told: dict[tuple[Metric, Labels], float] = {}
        """The most that was told of each counter that `observe` speaks of."""
        self._lock = threading.Lock()

    def cell(self, metric: Metric, *labels: str) -> Cell:
        """The cell of a series, made at its first use. Labels beyond an attribute's limit share `_other`, counted."""
        cells = self.cells.get(metric)
        found = None if cells is None else cells.get(labels)
        return found or self._make(metric, labels)

    def _make(self, metric: Metric, labels: Labels) -> Cell:
        with self._lock:
            kept = tuple(_bounded(self._seen, *pair) for pair in zip(metric.attributes, labels, strict=True))
            cell = self.cells.setdefault(metric, {}).setdefault(kept, Cell())
        if kept != labels:
            self.cell(DROPPED, "series").value += 1
        return cell

    def bounded(self, attribute: Attribute, label: str) -> str:
        """A label that is told at once, or `_other`, counted, where the clients of this name have had their fill."""
        kept = _bounded(self.seen_by_name, attribute, label)
        if kept != label:
            self.cell(DROPPED, "series").value += 1
        return kept

    def count(self, decision: Decision) -> None:
        """Add a decision to the counters that it declares."""
        for move in decision.MOVES:
            if isinstance(move, Count):
                labels = labels_in(decision, move.metric)
                much = getattr(decision, move.by) if move.by else 1  # first: a call within `+=` lets other threads in
                self.cell(move.metric, *labels).value += much

    def sums(self) -> Iterator[Observation]:
        """Every counter with its value now."""
        for metric in {*self.cells.copy(), *(metric for metric, _ in self._told.copy())}:
            for labels, value in self.read(metric).items():
                yield Observation(metric, value, labels)

    # -- read ------------------------------------------------------------------------------------------------------

    def read(self, metric: Metric) -> dict[Labels, float]:
        """A metric's values of now by labels. A counter never goes back."""
        if metric not in self.observed:
            found = self._values(metric)
        elif metric.kind == "counter":
            found = self._grown(metric)
        else:
            found = self._now(metric)
        for (kept, labels), value in self._told.copy().items():
            if kept is metric:
                found[labels] = max(value, found.get(labels, 0))
        return found

    def _values(self, metric: Metric) -> dict[Labels, float]:
        return {labels: cell.value for labels, cell in self.cells.get(metric, {}).copy().items()}

    def _now(self, metric: Metric) -> dict[Labels, float]:
        """What `observe` says of a metric; if it fails, nothing, and that is counted."""
        found: dict[Labels, float] = {}
        try:
            for kept, value, labels in self.observe():
                if kept is metric:
                    found[labels] = found.get(labels, 0) + value
        except Exception as error:
            self.cell(DROPPED, "listener").value += 1
            _log.debug("the values of now cannot be told", exc_info=untold(error))
        return found

    def _grown(self, metric: Metric) -> dict[Labels, float]:
        """A counter's cells with what `observe` adds to them, both of one moment: it may become a cell's meanwhile."""
        for _ in range(3):
            cells, now = self._values(metric), self._now(metric)
            if cells == self._values(metric):
                break
        for labels, value in now.items():
            cells[labels] = cells.get(labels, 0) + value
            self._told[metric, labels] = max(self._told.get((metric, labels), 0), cells[labels])
        return cells

    def rest(self) -> None:
        """The client ended: what it was is told no more, what it counted stays, and what is still to come counts."""
        for metric in self.observed:
            if metric.kind == "counter":
                self._grown(metric)
        self.observe, self.observed = tuple, frozenset()

    def value(self, name: str, /, **where: str) -> float:
        """The sum of a counter's series whose labels match: `value("spanwire.call.attempts", outcome="success")`."""
        metric = METRICS[name]
        keys = [attribute.key.rsplit(".", 1)[-1] for attribute in metric.attributes]
        return sum(
            cell.value
            for labels, cell in list(self.cells.get(metric, {}).items())
            if all(dict(zip(keys, labels, strict=True)).get(key) == value for key, value in where.items())
        )

    def clear(self) -> None:
        """Start from zero: what a forked child does, since its parent goes on telling what it counted."""
        self._lock = threading.Lock()
        self._told.clear()
        for cells in self.cells.values():
            for cell in cells.values():
                cell.value = 0


def labels_in(decision: Decision, metric: Metric) -> Labels:
    """The labels that a decision gives a metric that it moves."""
    return tuple(_text(getattr(decision, name)) for name in labels_of(type(decision), metric))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Book:
    """The accounts of all clients that report to one meter provider."""

    def __init__(self) -> None:
        self._open: set[Account] = set()
        self._ended: deque[Account] = deque()
        self._sums: dict[tuple[str, Metric, Labels], float] = {}
        """What ended clients have counted, by client name."""
        self._seen: dict[str, Seen] = {}
        """The labels that were told of each client name."""
        self._lock = threading.Lock()
        _books.add(self)

    def open(self, account: Account) -> None:
        """From now on the account's numbers are told."""
        with self._lock:
            self._settle()
            if account.client not in self._seen and len(self._seen) >= CLIENT.limit:
                account.label = OTHER
                account.cell(DROPPED, "series").value += 1
            account.seen_by_name = self._seen.setdefault(account.label, {})
            self._open.add(account)

    def close(self, account: Account) -> None:
        """Nobody counts on the account any more: it becomes part of the sums. For finalizers, so without a lock."""
        account.rest()
        self._ended.append(account)

    def _settle(self) -> None:
        while self._ended:
            account = self._ended.popleft()
            if account not in self._open:
                continue
            self._open.discard(account)
            for metric, value, labels in account.sums():
                key = (account.label, metric, self._folded(account.label, metric, labels))
                self._sums[key] = self._sums.get(key, 0) + value

    def _folded(self, client: str, metric: Metric, labels: Labels) -> Labels:
        """The labels of a counter, bounded over all clients of a name."""
        if metric.kind == "updown":
            return labels  # of a client that lives, and so bounded by its own
        seen = self._seen[client]
        return tuple(_bounded(seen, *pair) for pair in zip(metric.attributes, labels, strict=True))

    def read(self, metric: Metric) -> dict[tuple[str, Labels], float]:
        """A metric's values by client name and labels, over all clients, open and ended."""
        with self._lock:
            self._settle()
            accounts = list(self._open)
            found = {(client, labels): value for (client, kept, labels), value in self._sums.items() if kept is metric}
        for account in accounts:
            for labels, value in account.read(metric).items():
                key = (account.label, self._folded(account.label, metric, labels))
                found[key] = found.get(key, 0) + value
        return found

    def after_fork(self) -> None:
        """A child starts from zero."""
        self._lock = threading.Lock()
        self._ended.clear()
        self._sums.clear()
        for account in self._open:
            account.clear()


_folding = threading.Lock()
_books: weakref.WeakSet[Book] = weakref.WeakSet()


def _after_fork() -> None:
    global _folding  # noqa: PLW0603  (a child's own, before anything else runs in it)
    _folding = threading.Lock()
    for book in list(_books):
        book.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
