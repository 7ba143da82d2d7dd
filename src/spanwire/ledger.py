"""The ledger: the integers of the clients, kept once, read by metrics and by `client.metrics()` alike.

A `Cell` is one number of one series; whoever counts holds the cell and adds to it. An `Account` has the cells of one
client. A `Book` has the accounts of the clients that report to one meter provider, and the sums of those that ended,
so that no counter ever goes back when clients come and go. Nothing here refers to a client.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .decisions import METRICS, Decision, Metric, counter, labels_of, Attribute, Count, CLIENT

OTHER = "_other"

DROPPED = counter(
    "spanwire.telemetry.dropped", "{item}", "What telemetry had to leave out.",
    Attribute("spanwire.telemetry.kind", "What was left out.", values=("listener", "series", "decision", "link", "event")),
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
Observe = Callable[[], Iterable[Observation]]


class Account:
    """The numbers of one client: its cells by metric and labels, and how to ask its policies for the values of now."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.cells: dict[Metric, dict[Labels, Cell]] = {}
        self.observe: Observe = tuple
        self.observed: frozenset[Metric] = frozenset()
        """The metrics that `observe` speaks of; what it says of a counter adds to the counter's cell."""
        self._seen: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def cell(self, metric: Metric, *labels: str) -> Cell:
        """The cell of a series, made at its first use. Labels beyond their attribute's limit share `_other`, counted."""
        cells = self.cells.get(metric)
        found = None if cells is None else cells.get(labels)
        return found or self._make(metric, labels)

    def _make(self, metric: Metric, labels: Labels) -> Cell:
        with self._lock:
            kept = tuple(self._bounded(attribute, label) for attribute, label in zip(metric.attributes, labels, strict=True))
            cell = self.cells.setdefault(metric, {}).setdefault(kept, Cell())
        if kept != labels:
            self.cell(DROPPED, "series").value += 1
        return cell

    def bounded(self, attribute: Attribute, label: str) -> str:
        """The label, or `_other` once the attribute has had its fill of different ones."""
        with self._lock:
            return self._bounded(attribute, label)

    def _bounded(self, attribute: Attribute, label: str) -> str:
        if attribute.values or not attribute.limit:
            return label
        seen = self._seen.setdefault(attribute.key, set())
        if label in seen or len(seen) < attribute.limit:
            seen.add(label)
            return label
        return OTHER

    def count(self, decision: Decision) -> None:
        """Add a decision to the counters that it declares."""
        for move in decision.MOVES:
            if isinstance(move, Count):
                labels = tuple(_text(getattr(decision, name)) for name in labels_of(type(decision), move.metric))
                self.cell(move.metric, *labels).value += getattr(decision, move.by) if move.by else 1

    def sums(self) -> Iterator[Observation]:
        """Every cell with its value now."""
        for metric, cells in list(self.cells.items()):
            for labels, cell in list(cells.items()):
                yield Observation(metric, cell.value, labels)

    def value(self, name: str, **where: str) -> float:
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
        for cells in self.cells.values():
            for cell in cells.values():
                cell.value = 0


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Book:
    """The accounts of all clients that report to one meter provider."""

    def __init__(self) -> None:
        self._open: set[Account] = set()
        self._closed: dict[tuple[str, Metric, Labels], float] = {}
        self._lock = threading.RLock()  # a finalizer may run inside the lock
        _books.add(self)

    def open(self, account: Account) -> None:
        """From now on the account's numbers are told."""
        with self._lock:
            self._open.add(account)

    def close(self, account: Account) -> None:
        """The client ended: what it counted stays in the sums, what it was is told no more."""
        with self._lock:
            if account not in self._open:
                return
            self._open.discard(account)
            self._settle(account)
        account.observe, account.observed = tuple, frozenset()

    def _settle(self, account: Account) -> None:
        for metric, value, labels in (*account.sums(), *account.observe()):
            if metric.kind == "updown":
                continue
            key = (account.client, metric, labels)
            self._closed[key] = self._closed.get(key, 0) + value

    def read(self, metric: Metric) -> dict[tuple[str, Labels], float]:
        """A metric's values by client name and labels, over all clients, open and ended."""
        with self._lock:
            accounts = list(self._open)
            found = {(client, labels): value for (client, kept, labels), value in self._closed.items() if kept is metric}
        for account in accounts:
            for labels, value in _values(account, metric):
                key = (account.client, labels)
                found[key] = found.get(key, 0) + value
        return found

    def after_fork(self) -> None:
        """A child starts from zero."""
        self._lock = threading.RLock()
        self._closed.clear()
        for account in self._open:
            account.clear()


def _values(account: Account, metric: Metric) -> Iterator[tuple[Labels, float]]:
    if metric in account.observed:
        yield from ((labels, value) for kept, value, labels in account.observe() if kept is metric)
    for labels, cell in list(account.cells.get(metric, {}).items()):
        yield labels, cell.value


_books: weakref.WeakSet[Book] = weakref.WeakSet()


def _after_fork() -> None:
    for book in list(_books):
        book.after_fork()


os.register_at_fork(after_in_child=_after_fork)
