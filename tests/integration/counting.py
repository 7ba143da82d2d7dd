"""What the stories of counts share: an origin that counts its requests, readers that hold counters to their word."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, Sum

from spanwire import CircuitBreaker, Fixed, Policy, Retry
from spanwire.decisions import DECISIONS, METRICS

Key = tuple[str, frozenset[tuple[str, Any]]]
"""A series: the metric's name and its attributes."""

POLICY = Policy(
    retry=Retry(max_attempts=3, backoff=Fixed(seconds=0), budget=None), circuit_breaker=CircuitBreaker(failure_ratio=1)
)
"""Retries that take no time, and a breaker that counts and does not open."""


class Tally:
    """An origin without a socket: `/503/200` answers 503 to the first request of a call, and then 200. It counts."""

    def __init__(self) -> None:
        self.requests = 0
        self.statuses: Counter[int] = Counter()
        self._lock = threading.Lock()

    @property
    def transport(self) -> httpx.MockTransport:
        """A transport to it, for clients of both colours."""
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        statuses = [int(part) for part in request.url.path.split("/") if part] or [200]
        tried = request.extensions.setdefault("tally", [])
        tried.append(None)
        status = statuses[min(len(tried), len(statuses)) - 1]
        with self._lock:
            self.requests += 1
            self.statuses[status] += 1
        return httpx.Response(status, stream=_Body())


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is there only when it is read."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"x"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"


class Watched:
    """A meter provider with a reader in memory. Each `look` holds that no counter has gone back, and none is gone."""

    def __init__(self, *, delta: bool = False, provider: MeterProvider | None = None, reader: Any = None) -> None:
        kinds = dict.fromkeys(_KINDS, AggregationTemporality.DELTA) if delta else {}
        self.delta = delta
        self.reader = reader or InMemoryMetricReader(preferred_temporality=kinds)
        self.provider = provider or MeterProvider([self.reader], shutdown_on_exit=False)
        self.counters: dict[Key, float] = {}
        self.looks = 0

    def look(self) -> Watched:
        """Collect once."""
        self.looks += 1
        seen = _sums(self.reader.get_metrics_data())
        if self.delta:
            assert not [key for key, value in seen.items() if value < 0], "a counter went back"
            self.counters = {key: self.counters.get(key, 0) + seen.get(key, 0) for key in self.counters | seen}
        else:
            gone = self.counters.keys() - seen.keys()
            assert not gone, f"series vanished: {gone}"
            back = {key: (self.counters[key], seen[key]) for key in self.counters if seen[key] < self.counters[key]}
            assert not back, f"counters went back: {back}"
            self.counters = seen
        return self

    def value(self, metric: str, /, **where: str) -> float:
        """The sum of a counter's series whose labels end so, at the last look."""
        return sum(
            value for (known, labels), value in self.counters.items() if known == metric and _match(labels, where)
        )

    def __repr__(self) -> str:
        return f"<Watched {len(self.counters)} series after {self.looks} looks>"


def holds(watched: Watched, calls: int, origin: Tally) -> None:
    """What is exported is what the origin counted: by attempts, by calls, by outcome, by retry and by breaker."""
    watched.look()
    assert watched.value("spanwire.attempts") == origin.requests
    assert watched.value("spanwire.call.attempts") == calls
    assert watched.value("spanwire.call.attempts", outcome="success") == origin.statuses[200]
    assert watched.value("spanwire.attempts", kind="retry") == origin.requests - calls
    assert watched.value("spanwire.retry.attempts") == origin.requests - calls
    assert watched.value("spanwire.circuit_breaker.calls") == origin.requests
    assert watched.value("spanwire.circuit_breaker.failures") == origin.statuses[503]
    assert watched.value("spanwire.deadline.used") == calls


def _sums(data: Any) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if isinstance(metric.data, Sum) and metric.data.is_monotonic:
                    for point in metric.data.data_points:
                        key = (metric.name, frozenset((point.attributes or {}).items()))
                        assert key not in found, f"{key} is told twice"
                        found[key] = point.value
    return found


def _match(labels: frozenset[tuple[str, Any]], where: dict[str, str]) -> bool:
    short = {key.rpartition(".")[2]: str(value) for key, value in labels}
    return all(short.get(key) == value for key, value in where.items())


def _kinds() -> list[type]:
    from opentelemetry.sdk.metrics import Counter as SDKCounter
    from opentelemetry.sdk.metrics import Histogram, ObservableCounter

    return [SDKCounter, Histogram, ObservableCounter]


_KINDS = _kinds()


@contextlib.contextmanager
def declared_here() -> Iterator[None]:
    """What is declared inside is forgotten at the end: a vocabulary of a story is not spanwire's."""
    before = dict(METRICS), dict(DECISIONS)
    try:
        yield
    finally:
        for known, kept in zip((METRICS, DECISIONS), before, strict=True):
            known.clear()
            known.update(kept)
