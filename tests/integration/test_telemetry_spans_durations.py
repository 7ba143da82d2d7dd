"""Durations: the histograms and their labels, exemplars that lead to traces that are kept, and phases that add up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import spanwire
from spanwire import Fixed, Policy, Retry
from spanwire.call import PHASES, Attempt, Call
from spanwire.ledger import Account
from spanwire.signals import Signals
from spanwire.testing import FakeClock, SpanwireTelemetry
from tests.integration.support import Answer, Driver, Site

QUICK = Policy(retry=Retry(backoff=Fixed(seconds=0.001)))
ONCE = Policy(retry=None, circuit_breaker=None)


# -- labels -----------------------------------------------------------------------------------------------------------


def test_the_duration_of_an_attempt_has_the_stable_labels(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    site.script(503, 200)
    client = driver.ours(name="billing", policy=QUICK, clock=clock, **telemetry.providers)
    client.get(f"{site.url}/invoices/42", extensions=spanwire.override(route="/invoices/{id}"))
    common = {
        "spanwire.client.name": "billing",
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": int(site.url.rpartition(":")[2]),
        "network.protocol.version": "1.1",
        "url.template": "/invoices/{id}",
    }
    points = telemetry.points("http.client.request.duration")
    assert [dict(point.attributes) for point in points] == [
        {**common, "http.response.status_code": 503, "error.type": "503"},
        {**common, "http.response.status_code": 200},
    ]
    assert all(point.explicit_bounds[0] == 0.005 and point.explicit_bounds[-1] == 10 for point in points)


def test_the_duration_of_a_call_has_its_outcome(
    driver: Driver, site: Site, nobody: str, telemetry: SpanwireTelemetry
) -> None:
    client = driver.ours(name="billing", policy=ONCE, **telemetry.providers)
    client.get(site.url)
    with pytest.raises(httpx.ConnectError):
        client.get(nobody)
    site.script(500)
    client.request("FROB", site.url)
    common = {"spanwire.client.name": "billing", "http.request.method": "GET"}
    points = telemetry.points("spanwire.call.duration")
    assert [dict(point.attributes) for point in points] == [
        {**common, "spanwire.outcome": "success"},
        {**common, "spanwire.outcome": "failure", "error.type": f"{httpx.__name__}.ConnectError"},
        {**common, "http.request.method": "_OTHER", "spanwire.outcome": "failure", "error.type": "500"},
    ]


def test_what_is_measured_needs_no_traces(driver: Driver, site: Site, telemetry: SpanwireTelemetry) -> None:
    driver.ours(meter_provider=telemetry.meter_provider).get(site.url)
    assert telemetry.metric("http.client.request.duration") == telemetry.metric("spanwire.call.duration") == 1
    assert "traceparent" not in site.seen[0].headers


def test_labels_stay_few_whatever_is_called(driver: Driver, telemetry: SpanwireTelemetry) -> None:
    client = driver.ours(transport=driver.transport(lambda request: httpx.Response(200)), **telemetry.providers)
    for number in range(50):
        route = spanwire.override(route=f"/{number}/{{id}}")
        client.request(f"M{number}", f"http://host{number}.test/{number}?q={number}", extensions=route)
    for name in ("http.client.request.duration", "spanwire.call.duration"):
        points = telemetry.points(name)
        assert {point.attributes["http.request.method"] for point in points} == {"_OTHER"}
        assert len(points) <= 33
        assert len({point.attributes["url.template"] for point in points}) == 33, "32 and _other"
    hosts = {point.attributes["server.address"] for point in telemetry.points("http.client.request.duration")}
    assert "_other" in hosts
    assert telemetry.metric("spanwire.telemetry.dropped", kind="series") > 0


# -- exemplars --------------------------------------------------------------------------------------------------------


def test_every_exemplar_leads_to_a_trace_that_is_kept(
    driver: Driver, telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    statuses = iter([200, 503, 200, 404, 500, 500, 500, *[200] * 200])

    def handler(request: httpx.Request) -> httpx.Response:
        clock.advance(0.1)
        return httpx.Response(next(statuses))

    client = driver.ours(
        transport=driver.transport(handler),
        policy=Policy(retry=Retry(backoff=Fixed(seconds=1))),
        clock=clock,
        tracer_provider=provider,
        meter_provider=telemetry.meter_provider,
    )
    for _ in range(150):
        client.get("http://x.test/")
    kept = {
        span.context.trace_id
        for span in exporter.get_finished_spans()
        if {"spanwire.notable", "spanwire.baseline"} & set(span.attributes or {})
    }
    all_of_them = {span.context.trace_id for span in exporter.get_finished_spans()}
    assert 0 < len(kept) < len(all_of_them)
    found = 0
    for name in ("http.client.request.duration", "spanwire.call.duration", "spanwire.retry.delay"):
        exemplars = [exemplar for point in telemetry.points(name) for exemplar in point.exemplars]
        assert {exemplar.trace_id for exemplar in exemplars} <= kept, name
        assert not any(exemplar.filtered_attributes for exemplar in exemplars)
        found += len(exemplars)
    assert found >= 2


# -- the pool and connecting ------------------------------------------------------------------------------------------


def test_waiting_for_the_pool_and_connecting_are_told_in_every_way(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    def held() -> Iterator[bytes]:
        yield b"first"
        site.gate.wait(5)

    site.answer = lambda seen: Answer(200, held()) if seen.path == "/held" else Answer()
    calls = _Calls()
    client = driver.ours(policy=ONCE, limits=httpx.Limits(max_connections=1), listeners=[calls], **telemetry.providers)
    first = client.open(client.build_request("GET", f"{site.url}/held"))
    waiting: list[Any] = []

    if driver.is_sync:
        thread = threading.Thread(target=lambda: waiting.append(client.get(site.url)))
        thread.start()
        calls.until_waiting()
        site.gate.set()
        first.read()
        thread.join()
    else:

        async def second() -> None:
            waiting.append(await client.client.get(site.url))

        async def story() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(second)
                await anyio.wait_all_tasks_blocked()
                await anyio.to_thread.run_sync(calls.until_waiting)
                site.gate.set()
                await first.response.aread()

        driver.run(story())
    (response,) = waiting
    report = spanwire.report(response)
    assert report.phases["pool"] >= 0.001
    assert report.attempts[0].pool_wait == pytest.approx(report.phases["pool"])
    assert sum(report.phases.values()) == pytest.approx(report.duration)
    first_attempt, second_attempt = ((span.attributes or {}) for span in telemetry.attempt_spans)
    assert first_attempt["spanwire.connect.time"] > 0  # type: ignore[operator]
    assert second_attempt["spanwire.pool.wait"] == report.attempts[0].pool_wait
    assert spanwire.report(first.response).phases["connect"] > 0
    both = (report, spanwire.report(first.response))
    # on a busy machine the first one may wait for a told moment too
    waits = [attempt.pool_wait for one in both for attempt in one.attempts if attempt.pool_wait >= 0.001]
    assert report.attempts[0].pool_wait in waits
    (waited,) = telemetry.points("spanwire.pool.wait.duration")
    assert (waited.count, waited.sum) == (len(waits), pytest.approx(sum(waits)))
    (connected,) = telemetry.points("spanwire.connect.duration")
    assert connected.count == 1 + ("spanwire.connect.time" in second_attempt)
    for phase in ("pool", "connect"):
        told = telemetry.metric("spanwire.call.phase.time", phase=phase)
        assert told == pytest.approx(sum(one.phases.get(phase, 0.0) for one in both))


class _Calls(spanwire.Listener):
    """Lets a test wait until the last of the calls has waited for a while that can be told."""

    def __init__(self) -> None:
        self.opened_so_far: list[Call] = []

    def opened(self, call: Call) -> None:
        self.opened_so_far.append(call)

    def until_waiting(self) -> None:
        for _ in range(1000):
            call = self.opened_so_far[-1]
            if len(self.opened_so_far) == 2 and call.attempts and call.clock() - call.attempts[0].started > 0.005:
                return
            threading.Event().wait(0.002)
        raise AssertionError("nobody waits")


# -- phases -----------------------------------------------------------------------------------------------------------


def test_the_phases_of_all_calls_add_up_to_their_durations(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.answer = lambda seen: Answer(503 if seen.number % 3 == 0 else 200, iter([b"a", b"b"]))
    client = driver.ours(
        policy=Policy(retry=Retry(max_attempts=5, backoff=Fixed(seconds=0.001))), **telemetry.providers
    )
    for _ in range(20):
        client.get(site.url)
    total = sum(point.sum for point in telemetry.points("spanwire.call.duration"))
    assert telemetry.metric("spanwire.call.phase.time") == pytest.approx(total)
    phases = {point.attributes["spanwire.phase"] for point in telemetry.points("spanwire.call.phase.time")}
    assert {"attempt", "backoff", "body", "connect", "other"} <= phases <= set(PHASES)


TICK = st.floats(0, 10, allow_nan=False)


class Schedule:
    """A call whose attempts and waits overlap as chance has it."""

    def __init__(self) -> None:
        self.now = 0.0
        request = httpx.Request("GET", "http://x.test/")
        self.signals = Signals(Account("test"), (), self.clock)
        self.call = Call(request, self.clock, "test", "hash", None)
        self.signals.open(self.call)
        self.attempts: list[Attempt] = []
        self.waits: list[Any] = []

    def clock(self) -> float:
        return self.now

    def step(self, what: str, ticks: float, share: float) -> None:
        self.now += ticks
        if what == "begin":
            self.attempts.append(self.call.begin("hedge", self.now))
        elif what == "finish" and self.attempts:
            attempt = self.attempts.pop(int(share * len(self.attempts)))
            took = self.now - attempt.started
            attempt.pool_wait, attempt.connect = took * share / 2, took * share / 3
            self.call.finish(attempt, self.now)
        elif what == "wait":
            self.waits.append(self.signals.wait(self.call, "backoff"))
            self.waits[-1].__enter__()
        elif what == "waited" and self.waits:
            self.waits.pop().__exit__(None, None, None)
        elif what == "mark":
            self.call.mark("body", self.now)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "finish", "wait", "waited", "mark"]), TICK, st.floats(0, 0.999)),
        max_size=25,
    ),
    TICK,
)
def test_phases_add_up_whatever_overlaps(steps: list[tuple[str, float, float]], last: float) -> None:
    schedule = Schedule()
    for what, ticks, share in steps:
        schedule.step(what, ticks, share)
    schedule.now += last
    schedule.signals.close(schedule.call)
    phases = schedule.call.phases
    assert sum(phases.values()) == pytest.approx(schedule.call.duration, abs=1e-6)
    assert all(seconds >= -1e-9 for seconds in phases.values())
    assert set(phases) <= set(PHASES)
    told = schedule.signals.account.cells
    (cells,) = [cells for metric, cells in told.items() if metric.name == "spanwire.call.phase.time"]
    assert sum(cell.value for cell in cells.values()) == pytest.approx(schedule.call.duration, abs=1e-6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TICK, TICK), min_size=1, max_size=6))
def test_attempts_that_overlap_count_once(spans: list[tuple[float, float]]) -> None:
    schedule = Schedule()
    edges = sorted(
        [(start, 0, number) for number, (start, _) in enumerate(spans)]
        + [(start + length, 1, number) for number, (start, length) in enumerate(spans)]
    )
    attempts: dict[int, Attempt] = {}
    for at, ends, number in edges:
        schedule.now = max(schedule.now, at)
        if ends:
            schedule.call.finish(attempts[number], schedule.now)
        else:
            attempts[number] = schedule.call.begin("hedge", schedule.now)
    schedule.signals.close(schedule.call)
    covered, until = 0.0, 0.0
    for start, length in sorted(spans):
        covered += max(0.0, start + length - max(until, start))
        until = max(until, start + length)
    assert schedule.call.phases.get("attempt", 0.0) == pytest.approx(covered, abs=1e-6)
