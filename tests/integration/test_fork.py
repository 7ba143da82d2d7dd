"""Forked workers: each counts for itself from zero, waits for nobody's lock, and goes on with what it inherited."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import spanwire
from spanwire import CircuitBreaker, Policy
from spanwire.telemetry import instruments
from spanwire.testing import FaultyOrigin
from tests.integration.counting import POLICY, Tally, Watched, holds

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
WORKERS = 4


class Worker:
    """A forked child that tells a story; what the story gives comes back as JSON."""

    def __init__(self, story: Callable[[], Any]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._main(story, writing)
        os.close(writing)
        self._reading = reading

    @staticmethod
    def _main(story: Callable[[], Any], writing: int) -> None:
        try:
            told = {"result": story()}
        except BaseException:
            told = {"error": traceback.format_exc()}
        os.write(writing, json.dumps(told).encode())
        os._exit(0)

    def result(self) -> Any:
        try:
            with open(self._reading, "rb") as pipe:
                told = json.loads(pipe.read() or '{"error": "the worker died"}')
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        assert "error" not in told, told["error"]
        return told["result"]


def forked(story: Callable[[], Any]) -> Any:
    return Worker(story).result()


def client(watched: Watched, **more: Any) -> spanwire.Client:
    return spanwire.Client(name="billing", policy=POLICY, meter_provider=watched.provider, **more)


# -- workers that count ------------------------------------------------------------------------------------------------


def test_four_workers_with_readers_of_their_own_count_what_each_of_them_sent(origin: FaultyOrigin) -> None:
    before = Watched()
    with client(before) as parents:
        parents.get(origin.url + "/parent")

        def work(number: int) -> dict[str, float]:
            watched = Watched()
            for turn in range(5):
                one = client(watched)
                one.get(f"{origin.url}/worker/{number}")
                if turn % 2:
                    one.reload(POLICY.model_copy(update={"circuit_breaker": CircuitBreaker(min_calls=99)}))
                    one.get(f"{origin.url}/worker/{number}")
                    one.close()
                watched.look()
            return {"attempts": watched.value("spanwire.attempts"), "calls": watched.value("spanwire.call.attempts")}

        workers = [Worker(lambda number=number: work(number)) for number in range(WORKERS)]  # type: ignore[misc]
        told = [worker.result() for worker in workers]
        before.look()
    seen = [[request.target for request in origin.requests].count(f"/worker/{number}") for number in range(WORKERS)]
    assert told == [{"attempts": count, "calls": count} for count in seen] == [{"attempts": 7, "calls": 7}] * WORKERS
    assert before.value("spanwire.attempts") == 1


def test_four_workers_with_an_inherited_client_and_reader_each_count_from_zero(origin: FaultyOrigin) -> None:
    watched = Watched()
    with client(watched) as inherited:
        for _ in range(3):
            inherited.get(origin.url + "/parent")
        watched.look()
        gone = client(watched)
        gone.get(origin.url + "/parent")
        gone.close()
        del gone
        gc.collect()

        def work(number: int) -> list[float]:
            mine = Watched(provider=watched.provider, reader=watched.reader)
            told = [mine.look().value("spanwire.attempts")]
            for turn in range(4):
                inherited.get(f"{origin.url}/worker/{number}")
                with client(mine) as further:
                    further.get(f"{origin.url}/worker/{number}")
                if turn == 2:
                    inherited.reload(POLICY.model_copy(update={"retry": None}))
                told.append(mine.look().value("spanwire.attempts"))
            assert mine.value("spanwire.circuit_breaker.calls") == 8
            assert mine.value("spanwire.call.attempts", outcome="success") == 8
            return told

        workers = [Worker(lambda number=number: work(number)) for number in range(WORKERS)]  # type: ignore[misc]
        assert [worker.result() for worker in workers] == [[0, 2, 4, 6, 8]] * WORKERS
        assert watched.look().value("spanwire.attempts") == 4
    children = [request for request in origin.requests if "worker" in request.target]
    assert len(children) == 8 * WORKERS


def test_workers_of_an_async_client_count_as_well(origin: FaultyOrigin) -> None:
    watched = Watched()
    inherited = spanwire.AsyncClient(name="billing", policy=POLICY, meter_provider=watched.provider)

    def work() -> float:
        mine = Watched(provider=watched.provider, reader=watched.reader)

        async def main() -> None:
            for _ in range(3):
                await inherited.get(origin.url + "/worker")
            await inherited.aclose()

        asyncio.run(main())
        return mine.look().value("spanwire.attempts")

    workers = [Worker(work) for _ in range(WORKERS)]
    assert [worker.result() for worker in workers] == [3] * WORKERS
    assert len(origin.requests) == 3 * WORKERS


def test_a_worker_forks_again_and_its_child_starts_from_zero_again(origin: FaultyOrigin) -> None:
    watched = Watched()
    with client(watched) as inherited:

        def child() -> list[float]:
            inherited.get(origin.url)
            below = forked(grandchild)
            return [below, watched.look().value("spanwire.attempts")]

        def grandchild() -> float:
            inherited.get(origin.url)
            inherited.get(origin.url)
            return Watched(provider=watched.provider, reader=watched.reader).look().value("spanwire.attempts")

        assert forked(child) == [2, 1]


def test_a_worker_that_closes_or_drops_what_it_inherited_keeps_its_own_counts() -> None:
    watched, tally = Watched(), Tally()
    one = client(watched, transport=tally.transport)
    one.get("http://origin.test/503/200")
    watched.look()

    def work() -> None:
        nonlocal one
        own = Watched(provider=watched.provider, reader=watched.reader)
        before = tally.requests
        one.get("http://origin.test/503/200")
        one.close()
        own.look()
        del one
        gc.collect()
        own.look()
        assert own.value("spanwire.attempts") == tally.requests - before == 2
        assert own.value("spanwire.call.attempts") == 1

    forked(work)
    holds(watched, 1, tally)


def test_a_reader_of_deltas_that_first_collects_in_a_worker_tells_what_the_worker_counted() -> None:
    """One that had collected before the fork would tell a negative sum at first: the SDK keeps what it told last."""
    watched, tally = Watched(delta=True), Tally()
    with client(watched, transport=tally.transport) as one:
        one.get("http://origin.test")

        def work() -> float:
            one.get("http://origin.test")
            own = Watched(delta=True, provider=watched.provider, reader=watched.reader)
            return own.look().value("spanwire.attempts")

        assert forked(work) == 1
        assert watched.look().value("spanwire.attempts") == 1


# -- workers and the state of now --------------------------------------------------------------------------------------


def levels(reader: InMemoryMetricReader, name: str) -> list[float]:
    data = reader.get_metrics_data()
    metrics = [
        metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]
    return [point.value for metric in metrics if metric.name == name for point in metric.data.data_points]


def test_the_calls_that_the_parent_has_under_way_are_not_the_workers(origin: FaultyOrigin) -> None:
    origin.script(spanwire.testing.Answer(hold=True))
    watched = Watched()
    with client(watched) as one:
        threads = [threading.Thread(target=one.get, args=(origin.url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        origin.until(lambda it: it.held == 3)
        assert forked(lambda: levels(watched.reader, "spanwire.call.active")) == [0]
        assert levels(watched.reader, "spanwire.call.active") == [3]
        origin.release()
        for thread in threads:
            thread.join()


def test_a_body_that_was_open_at_the_fork_does_not_make_calls_under_way_negative(origin: FaultyOrigin) -> None:
    watched = Watched()
    with client(watched) as one, one.stream("GET", origin.url) as response:

        def work() -> list[float]:
            response.close()
            return levels(watched.reader, "spanwire.call.active")

        assert forked(work) == [0]
        response.read()


def test_a_worker_goes_on_with_the_breakers_and_the_budget_of_its_parent() -> None:
    tally = Tally()
    policy = Policy(
        retry=spanwire.Retry(max_attempts=2, backoff=spanwire.Fixed(seconds=0)),
        circuit_breaker=CircuitBreaker(consecutive_failures=2),
    )
    watched = Watched()
    with client(watched, transport=tally.transport) as one:
        one.reload(policy)
        one.get("http://origin.test/503")
        (left,) = levels(watched.reader, "spanwire.retry_budget.available")

        def work() -> list[Any]:
            state = one.circuit_breakers["http://origin.test"].state
            with pytest.raises(spanwire.CircuitOpen):
                one.get("http://origin.test/200")
            return [state, *levels(watched.reader, "spanwire.retry_budget.available")]

        assert forked(work) == ["open", left]
        assert left < 500


# -- workers and locks -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def held(lock: Any) -> Iterator[None]:
    """The lock, held by another thread, which does not survive the fork."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


LOCKS: dict[str, Callable[[spanwire.Client], Any]] = {
    "engine": lambda one: one._engine._lock,
    "interceptors": lambda one: one.interceptors._lock,
    "account": lambda one: one._engine.account._lock,
    "book": lambda one: one._engine.telemetry.book._lock,
    "instruments": lambda one: instruments._lock,
    "trunk": lambda one: one._transport._io._trunk._lock,
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_worker_never_waits_for_a_lock_that_a_thread_of_its_parent_held(name: str) -> None:
    watched, tally = Watched(), Tally()
    with client(watched, transport=tally.transport) as one:
        one.get("http://origin.test")

        def work() -> float:
            signal.alarm(5)  # where it waits, the worker dies
            one.get("http://origin.test", extensions=spanwire.override(retry=False))
            one.interceptors.add(spanwire.LoggingInterceptor())
            one.get("http://new-origin.test", extensions=spanwire.override(route="/new"))
            one.reload(Policy())
            with client(watched, transport=tally.transport) as further:
                further.get("http://origin.test")
            one._transport._io.spawn(_nothing, "nothing")
            return Watched(provider=watched.provider, reader=watched.reader).look().value("spanwire.attempts")

        with held(LOCKS[name](one)):
            assert forked(work) == 3


async def _nothing() -> None: ...


def test_workers_do_not_share_a_connection_with_their_parent(origin: FaultyOrigin) -> None:
    with client(Watched()) as one:
        one.get(origin.url)

        def work() -> int:
            return [one.get(origin.url).status_code for _ in range(3)].count(200)

        assert [worker.result() for worker in [Worker(work) for _ in range(WORKERS)]] == [3] * WORKERS
        assert one.get(origin.url).status_code == 200
    by_connection: dict[int, int] = {}
    for seen in origin.requests:
        by_connection[seen.connection] = by_connection.get(seen.connection, 0) + 1
    assert sorted(by_connection.values()) == [2, 3, 3, 3, 3]


def test_what_an_sdk_exports_after_the_fork_is_the_workers_own() -> None:
    """A provider that is made in the parent before, and a client that is made in the worker."""
    reader, tally = InMemoryMetricReader(), Tally()
    provider = MeterProvider([reader], shutdown_on_exit=False)

    def work() -> list[int]:
        watched = Watched(provider=provider, reader=reader)
        with client(watched, transport=tally.transport) as one:
            one.get("http://origin.test/503/200")
        holds(watched, 1, tally)
        return [tally.requests]

    assert [worker.result() for worker in [Worker(work) for _ in range(WORKERS)]] == [[2]] * WORKERS


def test_an_interceptor_may_fork(origin: FaultyOrigin) -> None:
    """The call that is under way at the fork is under way in both."""
    told: list[Any] = []

    def forks(response: httpx.Response, context: spanwire.Context) -> None:
        told.append(forked(lambda: levels(watched.reader, "spanwire.call.active")))

    watched = Watched()
    hook = type("Forking", (), {"on_response": staticmethod(forks)})()
    with client(watched, interceptors=[hook]) as one:
        assert one.get(origin.url).status_code == 200
        assert levels(watched.reader, "spanwire.call.active") == [0]
    assert told == [[0]]
