"""Who calls the origin: a sync client in threads and an async client in tasks, both under the same policy."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx

from ...client import AsyncClient, Client
from ...override import override
from ...policies import CircuitBreaker, Exponential, Policy, Retry, Timeout
from ...signals import Listener

THREADS, TASKS = 4, 8
_PAUSE = 0.03
"""Seconds that a thread pauses between calls, on average; a task twice as long, since there are twice as many."""


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
        failure_ratio=0.5, min_calls=20, window=max(1.0, duration / 12), break_duration=duration / 30, max_break_duration=duration / 10
    )
    retry = Retry(max_attempts=4, backoff=Exponential(base=0.02, cap=0.5))
    return Policy(timeout=Timeout(total=2.5, attempt=0.4), retry=retry, circuit_breaker=breaker)


class Callers:
    """Both clients and their loads. `clients` is complete once it has been entered."""

    def __init__(self, url: str, rules: Policy, seed: int, listeners: dict[str, Listener]) -> None:
        self._url, self._rules, self._seed, self._listeners = url, rules, seed, listeners
        self._stop = threading.Event()
        self._workers: list[threading.Thread] = []
        self.clients: dict[str, Client | AsyncClient] = {}

    def __enter__(self) -> Callers:
        client = self.clients["sync"] = Client(**self._arguments("sync"))
        many = self.clients["async"] = AsyncClient(**self._arguments("async"))
        for number in range(THREADS):
            self._start(f"demo-sync-{number}", self._in_thread, client, random.Random(self._seed + number))
        self._start("demo-async", self._in_tasks, many)
        return self

    def __exit__(self, *_: object) -> None:
        """Every call under way comes to its end first."""
        self._stop.set()
        for worker in self._workers:
            worker.join()
        sync = self.clients["sync"]
        assert isinstance(sync, Client)
        sync.close()

    def _arguments(self, name: str) -> dict[str, Any]:
        return {
            "name": f"demo-{name}", "base_url": self._url, "policy": self._rules, "listeners": [self._listeners[name]],
            "random": random.Random(self._seed), "trust_env": False,
        }  # fmt: skip

    def _start(self, name: str, work: Any, *arguments: Any) -> None:
        worker = threading.Thread(target=work, args=arguments, name=name, daemon=True)
        worker.start()
        self._workers.append(worker)

    def _in_thread(self, client: Client, chance: random.Random) -> None:
        for arguments in self._requests(chance):
            with contextlib.suppress(httpx.HTTPError):
                client.request(**arguments)
            self._stop.wait(chance.uniform(0.0, 2 * _PAUSE))

    def _in_tasks(self, client: AsyncClient) -> None:
        async def main() -> None:
            async with client:
                await asyncio.gather(*(self._task(client, random.Random(self._seed - 1 - number)) for number in range(TASKS)))

        asyncio.run(main())

    async def _task(self, client: AsyncClient, chance: random.Random) -> None:
        for arguments in self._requests(chance):
            with contextlib.suppress(httpx.HTTPError):
                await client.request(**arguments)
            await asyncio.sleep(chance.uniform(0.0, 4 * _PAUSE))

    def _requests(self, chance: random.Random) -> Iterator[dict[str, Any]]:
        """Requests to make, until the demo stops."""
        while not self._stop.is_set():
            (kind,) = chance.choices(KINDS, [kind.weight for kind in KINDS])
            url, content = kind.path.format(id=chance.randrange(1000)), None if kind.method == "GET" else b"{}"
            yield {"method": kind.method, "url": url, "content": content, "extensions": override(route=kind.route)}
