"""Counts stay true, however clients come and go: what is exported is what the origin counted, and nothing goes back."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import spanwire
from spanwire import CircuitBreaker, Policy
from tests.integration.counting import POLICY, Tally, Watched, holds
from tests.testing.colours import Colour

URL = "http://origin.test"


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def client(tally: Tally, watched: Watched, **more: Any) -> spanwire.Client:
    given = {"name": "billing", "policy": POLICY, "transport": tally.transport, "meter_provider": watched.provider}
    return spanwire.Client(**{**given, **more})


# -- they come and go --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_thousand_short_lived_clients_of_one_name_are_one_client_to_whoever_reads(
    tally: Tally, watched: Watched
) -> None:
    for number in range(1_000):
        match number % 4:
            case 0:
                with client(tally, watched) as short_lived:
                    short_lived.get(URL + "/503/200")
            case 1:
                short_lived = client(tally, watched)
                short_lived.get(URL + "/200")
                short_lived.close()
            case 2:
                client(tally, watched).get(URL + "/503/503/200")  # dropped unclosed
            case 3:
                bare = spanwire.Transport(POLICY, tally.transport, name="billing", meter_provider=watched.provider)
                httpx.Client(transport=bare).get(URL + "/200")  # dropped too
        if number % 100 == 50:
            holds(watched, number + 1, tally)
    holds(watched, 1_000, tally)
    assert {dict(labels)["spanwire.client.name"] for _, labels in watched.counters} == {"billing"}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_short_lived_async_clients_count_as_well(colour: Colour, tally: Tally, watched: Watched) -> None:
    given = {"name": "billing", "policy": POLICY, "transport": tally.transport, "meter_provider": watched.provider}
    for number in range(60):
        short_lived = colour.client(**given)
        colour.get(short_lived, URL + "/503/200")
        if number % 3 == 0:
            colour.close(short_lived)
        colour._clients.clear()
        del short_lived
        if number % 10 == 0:
            holds(watched, number + 1, tally)
    holds(watched, 60, tally)


def test_several_clients_of_one_name_at_once_are_summed(tally: Tally, watched: Watched) -> None:
    several = [client(tally, watched) for _ in range(5)]
    for turn in range(3):
        for one in several:
            one.get(URL + "/503/200")
        holds(watched, 5 * (turn + 1), tally)
    for number, one in enumerate(several):
        one.close()
        holds(watched, 15, tally)
        assert watched.looks == 4 + number


def test_clients_of_different_names_stand_apart(tally: Tally, watched: Watched) -> None:
    with client(tally, watched, name="a") as a, client(tally, watched, name="b") as b:
        a.get(URL)
        b.get(URL)
        b.get(URL)
    watched.look()
    assert (watched.value("spanwire.attempts", name="a"), watched.value("spanwire.attempts", name="b")) == (1, 2)


def test_a_reload_in_between_loses_nothing(tally: Tally, watched: Watched) -> None:
    with client(tally, watched) as one:
        for number in range(6):
            one.get(URL + "/503/200")
            one.reload(POLICY.model_copy(update={"circuit_breaker": CircuitBreaker(min_calls=20 + number)}))
            holds(watched, number + 1, tally)
    holds(watched, 6, tally)


def test_a_body_that_is_read_after_its_client_was_closed_counts(tally: Tally, watched: Watched) -> None:
    one = client(tally, watched)
    request = one.build_request("GET", URL)
    response = one.send(request, stream=True)
    one.close()
    watched.look()
    assert watched.value("spanwire.call.attempts") == 0, "the call is not over"
    response.read()
    holds(watched, 1, tally)
    del one, response, request
    gc.collect()
    holds(watched, 1, tally)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_body_that_is_read_after_its_client_was_dropped_counts(tally: Tally, watched: Watched) -> None:
    one = client(tally, watched)
    response = one.send(one.build_request("GET", URL), stream=True)
    del one
    gc.collect()
    watched.look()
    response.read()
    holds(watched, 1, tally)


def test_a_closed_client_says_nothing_more_of_its_state(tally: Tally, watched: Watched) -> None:
    def levels() -> set[str]:
        data = watched.reader.get_metrics_data()
        metrics = [
            metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
        ]
        return {metric.name for metric in metrics if not getattr(metric.data, "is_monotonic", True)}

    one = client(tally, watched)
    one.get(URL)
    assert {"spanwire.policy.info", "spanwire.call.active", "spanwire.circuit_breaker.status"} <= levels()
    one.close()
    assert not levels()


def test_the_time_that_a_breaker_was_in_a_state_outlives_its_client(tally: Tally, watched: Watched, clock: Any) -> None:
    with client(tally, watched, clock=clock) as one:
        one.get(URL)
        clock.advance(40)
        watched.look()
        assert watched.value("spanwire.circuit_breaker.state.time", state="closed") == 40
        clock.advance(2)
    watched.look()
    assert watched.value("spanwire.circuit_breaker.state.time", state="closed") == 42
    del one
    gc.collect()
    watched.look()
    assert watched.value("spanwire.circuit_breaker.state.time", state="closed") == 42


def test_what_a_closed_client_counted_can_still_be_read_from_it(tally: Tally, watched: Watched) -> None:
    with client(tally, watched) as one:
        one.get(URL + "/503/200")
    assert one.metrics()["requests"]["total"] == 1
    assert {row["spanwire.reason"]: row["value"] for row in one.metrics()["counters"]["spanwire.retry.attempts"]}[
        "status"
    ] == 1


# -- readers -----------------------------------------------------------------------------------------------------------


def test_a_reader_of_deltas_gets_sums_that_add_up(tally: Tally) -> None:
    watched = Watched(delta=True)
    for number in range(30):
        with client(tally, watched) as one:
            one.get(URL + "/503/200")
        if number % 4 == 0:
            watched.look()
    holds(watched, 30, tally)


def test_two_readers_of_one_provider_see_the_same(tally: Tally) -> None:
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    provider = MeterProvider(readers, shutdown_on_exit=False)
    first, second = (Watched(provider=provider, reader=reader) for reader in readers)
    for number in range(10):
        with client(tally, first) as one:
            one.get(URL + "/503/200")
        holds(first, number + 1, tally)
    holds(second, 10, tally)


def test_two_providers_each_hear_of_their_own_clients_only(tally: Tally) -> None:
    first, second, other = Watched(), Watched(), Tally()
    with client(tally, first) as one, client(other, second) as two:
        one.get(URL)
        two.get(URL + "/503/200")
    holds(first, 1, tally)
    holds(second, 1, other)


def test_prometheus_sees_what_the_origin_counted(tally: Tally) -> None:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    reader = PrometheusMetricReader(registry=registry)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    before: dict[Any, float] = {}

    def scrape() -> dict[Any, float]:
        """Every sample of every counter, none of which may have gone back."""
        families = [family for family in registry.collect() if family.type == "counter"]
        samples = [sample for family in families for sample in family.samples]
        found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
        assert len(found) == len(samples)
        assert not [key for key, value in before.items() if found[key] < value]
        before.update(found)
        return found

    def scraped(name: str) -> float:
        return sum(value for (known, _), value in scrape().items() if known == name)

    for number in range(20):
        with spanwire.Client(name="billing", policy=POLICY, transport=tally.transport, meter_provider=provider) as one:
            one.get(URL + "/503/200")
            assert scraped("spanwire_attempts_total") == tally.requests == 2 * (number + 1)
        assert scraped("spanwire_call_attempts_total") == number + 1
        assert scraped("spanwire_retry_attempts_total") == number + 1
        assert scraped("spanwire_circuit_breaker_failures_total") == number + 1


# -- threads -----------------------------------------------------------------------------------------------------------


def test_eight_threads_on_one_client_lose_no_count_while_it_is_read(tally: Tally, watched: Watched) -> None:
    start, over = threading.Barrier(9), threading.Event()

    def hammer() -> None:
        start.wait()
        for _ in range(100):
            one.get(URL + "/503/200")

    with client(tally, watched) as one:
        threads = [threading.Thread(target=hammer) for _ in range(8)]
        for thread in threads:
            thread.start()
        ends = threading.Thread(target=lambda: ([thread.join() for thread in threads], over.set()))
        ends.start()
        start.wait()
        while not over.is_set():
            watched.look()
        ends.join()
        holds(watched, 800, tally)
    holds(watched, 800, tally)


def test_a_call_that_is_ended_twice_in_the_same_moment_counts_once(tally: Tally, watched: Watched) -> None:
    """Another thread may be let in while the clock is asked; here it comes from the clock itself."""
    bodies: list[Any] = []

    def clock() -> float:
        while bodies:
            bodies.pop().close()
        return 1.0

    with client(tally, watched, clock=clock) as one:
        response = one.send(one.build_request("GET", URL), stream=True)
        bodies.append(response.stream)
        response.close()
    holds(watched, 1, tally)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_eight_threads_that_make_and_drop_clients_lose_no_count_while_they_are_read(
    tally: Tally, watched: Watched
) -> None:
    start, over = threading.Barrier(9), threading.Event()

    def hammer() -> None:
        start.wait()
        for number in range(40):
            one = client(tally, watched)
            one.get(URL + "/503/200")
            if number % 2:
                one.close()

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    ends = threading.Thread(target=lambda: ([thread.join() for thread in threads], over.set()))
    ends.start()
    start.wait()
    while not over.is_set():
        watched.look()
        gc.collect()
    ends.join()
    holds(watched, 320, tally)


# -- nothing is kept alive ---------------------------------------------------------------------------------------------


def engine_of(one: Any) -> weakref.ref[Any]:
    return weakref.ref(one._engine)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("ending", ["closed", "dropped"])
def test_nothing_keeps_a_client_alive(colour: Colour, tally: Tally, watched: Watched, ending: str) -> None:
    one = colour.client(name="billing", policy=POLICY, transport=tally.transport, meter_provider=watched.provider)
    colour.get(one, URL + "/503/200")
    if ending == "closed":
        colour.close(one)
    known, engine = weakref.ref(one), engine_of(one)
    colour._clients.clear()
    del one
    gc.collect()
    assert known() is None
    assert engine() is None
    holds(watched, 1, tally)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("ending", ["closed", "dropped"])
def test_an_interceptor_that_knows_its_client_does_not_keep_it_alive(
    tally: Tally, watched: Watched, ending: str
) -> None:
    class Signing(spanwire.Client):
        """A client that is its own interceptor, and so stands in a circle with its engine."""

        def __init__(self) -> None:
            super().__init__(
                interceptors=[self], policy=POLICY, transport=tally.transport, meter_provider=watched.provider
            )

        def on_request(self, request: httpx.Request, context: spanwire.Context) -> None:
            request.headers["X-Signed"] = self.name

    one = Signing()
    one.get(URL + "/503/200")
    if ending == "closed":
        one.close()
    known = weakref.ref(one)
    del one
    gc.collect()
    assert known() is None
    holds(watched, 1, tally)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("ending", ["closed", "dropped"])
def test_nothing_keeps_a_bare_transport_alive(tally: Tally, watched: Watched, ending: str) -> None:
    bare = spanwire.Transport(POLICY, tally.transport, meter_provider=watched.provider)
    httpx.Client(transport=bare).get(URL + "/503/200")
    if ending == "closed":
        bare.close()
    known, engine = weakref.ref(bare), weakref.ref(bare._line.engine)
    del bare
    gc.collect()
    assert known() is None
    assert engine() is None
    holds(watched, 1, tally)


def test_nothing_keeps_a_dropped_meter_provider_alive(tally: Tally) -> None:
    watched = Watched()
    with client(tally, watched) as one:
        one.get(URL)
    known = weakref.ref(watched.provider)
    watched.provider.shutdown()
    del watched
    gc.collect()
    assert known() is None


def test_a_living_client_does_not_keep_its_dropped_meter_provider_alive_and_goes_on(tally: Tally) -> None:
    watched = Watched()
    with client(tally, watched) as one:
        one.get(URL)
        known = weakref.ref(watched.provider)
        del watched
        gc.collect()
        assert known() is None
        assert one.get(URL).status_code == 200


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_that_is_dropped_without_being_used_leaves_nothing(tally: Tally, watched: Watched) -> None:
    before = len(gc.get_objects())
    for _ in range(200):
        client(tally, watched)
    gc.collect()
    watched.look()
    gc.collect()
    assert len(gc.get_objects()) - before < 200 * 5


# -- labels ------------------------------------------------------------------------------------------------------------


def test_labels_beyond_thirty_two_are_folded_together_and_counted(tally: Tally, watched: Watched) -> None:
    with client(tally, watched) as one:
        for number in range(40):
            one.get(f"http://host{number}.test/", extensions=spanwire.override(route=f"/route/{number}"))
    holds(watched, 40, tally)
    names = {dict(labels).get("spanwire.circuit_breaker.name") for _, labels in watched.counters} - {None}
    assert len(names) == 33
    folded = [
        value
        for (metric, labels), value in watched.counters.items()
        if metric == "spanwire.circuit_breaker.calls" and ("spanwire.circuit_breaker.name", "_other") in labels
    ]
    assert folded == [8]
    assert watched.value("spanwire.telemetry.dropped", kind="series") > 0


@pytest.mark.parametrize("metric", ["http.client.request.duration", "spanwire.call.duration"])
def test_durations_are_folded_and_counted_too(tally: Tally, watched: Watched, metric: str) -> None:
    with client(tally, watched, policy=Policy(circuit_breaker=None)) as one:
        for number in range(40):
            one.get(f"http://host{number}.test/", extensions=spanwire.override(route=f"/route/{number}"))
    data = watched.reader.get_metrics_data()
    metrics = [
        metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]
    (points,) = [found.data.data_points for found in metrics if found.name == metric]
    assert sum(point.count for point in points) == 40
    assert len({point.attributes["url.template"] for point in points}) == 33
    watched.look()
    assert watched.value("spanwire.telemetry.dropped", kind="series") >= 8


# -- an event loop that ends -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_calls_that_a_loop_takes_with_it_are_counted_as_cancelled(tally: Tally, watched: Watched) -> None:
    async def main() -> None:
        one = spanwire.AsyncClient(policy=POLICY, transport=httpx.MockTransport(never), meter_provider=watched.provider)
        tasks = [asyncio.create_task(one.get(URL)) for _ in range(3)]
        await arrived.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def never(request: httpx.Request) -> httpx.Response:
        arrivals.append(request)
        if len(arrivals) == 3:
            arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    arrivals: list[httpx.Request] = []
    arrived = asyncio.Event()
    asyncio.run(main())
    watched.look()
    assert watched.value("spanwire.call.attempts", outcome="cancelled") == 3
    assert watched.value("spanwire.attempts") == 3
    assert watched.value("spanwire.circuit_breaker.calls") == 0
