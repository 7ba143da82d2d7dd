"""A background worker: takes webhooks from a queue and delivers them, with a sync client in a few threads.

A delivery is a POST, which is not sent twice unless that is safe. Here it is: each has an `Idempotency-Key`. While the
breaker of a receiver is open nothing is sent there; the delivery goes back to the queue until it may be asked again.

    WEBHOOK_URL=http://127.0.0.1:8000 python examples/worker.py
"""

from __future__ import annotations

import os
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

import spanwire
from spanwire import CircuitBreaker, Exponential, Policy, Retry, Timeout

POLICY = Policy(
    timeout=Timeout(total=20, attempt=5),
    retry=Retry(max_attempts=4, backoff=Exponential(base=0.1, cap=2)),
    circuit_breaker=CircuitBreaker(consecutive_failures=8),
)


@dataclass(order=True)
class Delivery:
    """What is to be delivered, and when it is due."""

    due: float
    id: str = field(compare=False)
    payload: dict[str, Any] = field(compare=False)


class Worker:
    """Delivers what is put on its queue until it is stopped."""

    def __init__(self, client: spanwire.Client, threads: int = 4) -> None:
        self.queue: queue.PriorityQueue[Delivery] = queue.PriorityQueue()
        self.failed: list[tuple[str, spanwire.Report]] = []
        self._client = client
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"worker-{n}") for n in range(threads)]

    def __enter__(self) -> Worker:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def put(self, id: str, payload: dict[str, Any], delay: float = 0.0) -> None:  # noqa: A002
        self.queue.put(Delivery(time.monotonic() + delay, id, payload))

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                delivery = self.queue.get(timeout=0.05)
            except queue.Empty:
                continue
            if (early := delivery.due - time.monotonic()) > 0:
                self.queue.put(delivery)
                self._stopped.wait(min(early, 0.05))
            else:
                self._deliver(delivery)
            self.queue.task_done()

    def _deliver(self, delivery: Delivery) -> None:
        try:
            answer = self._client.post(
                "/webhooks",
                json=delivery.payload,
                headers={"Idempotency-Key": delivery.id},
                extensions=spanwire.override(route="/webhooks", raise_for_status=True),
            )
            print(f"{delivery.id} delivered after {len(spanwire.report(answer).attempts)} attempts")
        except spanwire.CircuitOpen as refused:
            self.put(delivery.id, delivery.payload, delay=refused.retry_after or 0.1)
        except httpx.HTTPError as error:
            self.failed.append((delivery.id, spanwire.report(error)))


def main() -> None:
    with spanwire.Client(name="webhooks", base_url=os.environ["WEBHOOK_URL"], policy=POLICY) as client:
        with Worker(client) as worker:
            for number in range(10):
                worker.put(f"invoice-{number}-paid", {"invoice": number, "state": "paid"})
            worker.queue.join()
        for id, report in worker.failed:  # noqa: A001
            print(f"{id} could not be delivered:\n{report}")
        print(client.metrics()["requests"])


if __name__ == "__main__":
    main()
