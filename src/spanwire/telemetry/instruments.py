"""The instruments: one set per meter provider, reading the ledger of all clients that report to it.

An SDK keeps of an observable instrument only the callbacks of whoever created it first. So the callbacks belong to the
book of a provider and not to a client: they read the accounts that are open at the time of the collection.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Histogram, Observation

from ..decisions import CLIENT, METRICS, Metric
from ..ledger import Book
from .providers import meter_of

Histograms = dict[Metric, Histogram]
_lock = threading.Lock()
_shelves: weakref.WeakKeyDictionary[Any, _Shelf] = weakref.WeakKeyDictionary()
_unset: list[_Shelf] = []
"""The shelf of the global provider while it is not set; its instruments become real when it is."""


class _Shelf:
    """A book and the instruments that tell it. It holds no provider, so that a provider can be dropped."""

    def __init__(self) -> None:
        self.book = Book()
        self.books = [self.book]
        """All that its instruments tell: also the unset provider's, where this one was known before it was set."""
        self.histograms: Histograms = {}
        self._told: set[str] = set()

    def complete(self, provider: Any) -> None:
        """Make the instruments of every metric declared so far."""
        new = [metric for name, metric in list(METRICS.items()) if name not in self._told]
        if not new:
            return  # the API keeps every meter that it is asked for while no provider is set
        meter = meter_of(provider)
        for metric in new:
            self._told.add(metric.name)
            if metric.kind == "histogram":
                self.histograms[metric] = meter.create_histogram(
                    metric.name, metric.unit, metric.brief, explicit_bucket_boundaries_advisory=metric.buckets
                )
            else:
                make: Any = (
                    meter.create_observable_counter
                    if metric.kind == "counter"
                    else meter.create_observable_up_down_counter
                )
                make(metric.name, [_callback(self.books, metric)], metric.unit, metric.brief)


def _callback(books: list[Book], metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
    keys = [attribute.key for attribute in metric.attributes]

    def read(_: CallbackOptions) -> Iterable[Observation]:
        if _unset:
            _adopt(metrics.get_meter_provider())
        found: dict[tuple[str, tuple[str, ...]], float] = {}
        for book in books:
            for series, value in book.read(metric).items():
                found[series] = found.get(series, 0) + value
        return [
            Observation(value, {CLIENT.key: client, **dict(zip(keys, labels, strict=True))})
            for (client, labels), value in found.items()
        ]

    return read


def shelf_of(provider: Any) -> tuple[Book, Histograms]:
    """The book and the histograms of a meter provider, or of the global one."""
    with _lock:
        shelf = _find(provider)
        shelf.complete(provider)
        return shelf.book, shelf.histograms


def _find(provider: Any) -> _Shelf:
    current = metrics.get_meter_provider()
    wanted = current if provider is None else provider
    if is_placeholder(wanted):
        if not _unset:
            _unset.append(_Shelf())
        return _unset[0]
    if wanted is current and _unset:
        _adopt(current)
    return _shelves.setdefault(wanted, _Shelf()) if wanted not in _shelves else _shelves[wanted]


def _adopt(current: Any) -> None:
    """The global provider was set: the instruments of the unset one have become its own, unless it had its own before.

    Without the lock: the SDK collects under a lock of its own, which it also takes where instruments are made.
    """
    if is_placeholder(current):
        return
    with contextlib.suppress(IndexError):  # another thread was faster
        unset = _unset.pop()
        shelf = _shelves.setdefault(current, unset)
        if shelf is not unset:
            shelf.books.append(unset.book)


def is_placeholder(provider: Any) -> bool:
    """Whether a provider is the API's own, which does nothing."""
    return type(provider).__module__ in ("opentelemetry.trace", "opentelemetry.metrics._internal")


def is_live(histogram: Histogram) -> bool:
    """Whether anybody measures: the API's stand-in for an instrument has none behind it until an SDK is set up."""
    return getattr(histogram, "_real_instrument", histogram) is not None


def _after_fork() -> None:
    """A lock that another thread held at the fork is never released in the child."""
    global _lock  # noqa: PLW0603  (a child's own, before anything else runs in it)
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
