"""Who calls the origin: a sync client in threads and an async client in tasks, both under the same policy."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx

from ...client import AsyncClient, Client
from ...errors import Rejected
from ...override import override
from ...policies import CircuitBreaker, Exponential, Policy, Retry, Timeout
from ...signals import Listener

THREADS, TASKS = 4, 8
_PAUSE = 0.03
"""Seconds that a thread pauses between calls, on average; a task twice as long, since there are twice as many."""
_BACKOFF = 5
"""How many times as long they pause after a call that was refused, as callers do."""


class Kind(NamedTuple):
    """A kind of request that is made, and how often among ten."""

    weight: int
    method: str
    route: str
    path: str


KINDS = (
    Kind(5, "GET", "/invoices/{id}", "/invoices/{id}?token=sesame"),
    Kind(3, "GET", "/stock/{sku}", "/stock/{id}"),
    Kind(1, "PUT", "/carts/{id}", "/carts/{id}"),
    Kind(1, "POST", "/orders", "/orders"),
)


def policy(duration: float) -> Policy:
    """A policy whose breaker keeps pace with the demo's duration, in seconds."""
    breaker = CircuitBreaker(
        window=max(1.0, duration / 12), break_duration=duration / 40, max_break_duration=duration / 20
    )
    retry = Retry(max_attempts=4, backoff=Exponential(base=0.02, cap=0.5))
    return Policy(timeout=Timeout(total=2.5, attempt=0.4), retry=retry, circuit_breaker=breaker)


class Callers:
    """Both clients and their loads. `clients` is complete once it has been entered."""

    def __init__(self, url: str, rules: Policy, seed: int, listeners: Mapping[str, Listener]) -> None:
        self._url, self._rules, self._seed, self._listeners = url, rules, seed, listeners
        self._stop = threading.Event()
        self._workers: list[threading.Thread] = []
        self._broken: list[Exception] = []
        self.clients: dict[str, Client | AsyncClient] = {}

    def __enter__(self) -> Callers:
        self._sync, self._async = Client(**self._arguments("sync")), AsyncClient(**self._arguments("async"))
        self.clients |= {"sync": self._sync, "async": self._async}
        for number in range(THREADS):
            self._start(f"demo-sync-{number}", self._in_thread, random.Random(self._seed + number))
        self._start("demo-async", self._in_tasks)
        return self

    def __exit__(self, *_: object) -> None:
        """Every call under way comes to its end first."""
        self._stop.set()
        for worker in self._workers:
            worker.join()
        self._sync.close()
        for error in self._broken[:1]:
            raise error

    @property
    def running(self) -> bool:
        """Whether calls are being made."""
        return not self._stop.is_set()

    def _arguments(self, name: str) -> dict[str, Any]:
        return {
            "name": f"demo-{name}", "base_url": self._url, "policy": self._rules, "listeners": [self._listeners[name]],
            "random": random.Random(self._seed), "trust_env": False,
        }  # fmt: skip

    def _start(self, name: str, work: Any, *arguments: Any) -> None:
        worker = threading.Thread(target=self._guarded, args=(work, *arguments), name=name, daemon=True)
        worker.start()
        self._workers.append(worker)

    def _guarded(self, work: Any, *arguments: Any) -> None:
        """Calls may fail, that is what they are here for; anything else is a defect that must not go unseen."""
        try:
            work(*arguments)
        except Exception as error:
            self._broken.append(error)
            self._stop.set()

    def _in_thread(self, chance: random.Random) -> None:
        for arguments in self._requests(chance):
            try:
                self._sync.request(**arguments)
                pause = _PAUSE
            except httpx.HTTPError as error:
                pause = _after(error)
            self._stop.wait(chance.uniform(0.0, 2 * pause))

    def _in_tasks(self) -> None:
        async def main() -> None:
            async with self._async:
                await asyncio.gather(
                    *(self._task(random.Random(self._seed + THREADS + number)) for number in range(TASKS))
                )

        asyncio.run(main())

    async def _task(self, chance: random.Random) -> None:
        for arguments in self._requests(chance):
            try:
                await self._async.request(**arguments)
                pause = _PAUSE
            except httpx.HTTPError as error:
                pause = _after(error)
            await asyncio.sleep(chance.uniform(0.0, 4 * pause))

    def _requests(self, chance: random.Random) -> Iterator[dict[str, Any]]:
        """Requests to make, until the demo stops."""
        while not self._stop.is_set():
            (kind,) = chance.choices(KINDS, [kind.weight for kind in KINDS])
            url, content = kind.path.format(id=chance.randrange(1000)), None if kind.method == "GET" else b"{}"
            yield {"method": kind.method, "url": url, "content": content, "extensions": override(route=kind.route)}


def _after(error: httpx.HTTPError) -> float:
    return _PAUSE * _BACKOFF if isinstance(error, Rejected) else _PAUSE
