"""The trace context on its way out: each attempt's own, by the service's propagators, also where nobody traces here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

import spanwire
from spanwire import Fixed, Policy, Retry
from spanwire.testing import FakeClock, SpanwireTelemetry
from tests.integration.support import Answer, Driver, Site

QUICK = Policy(retry=Retry(backoff=Fixed(seconds=0.001)))
REMOTE = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "1")]))


def parents(site: Site) -> list[list[str]]:
    return [seen.headers["traceparent"].split("-") for seen in site.seen]


def test_each_attempt_carries_its_own_context(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    site.answer = lambda seen: (
        Answer(503) if seen.number == 1 else Answer(302, b"", {"location": "/b"}) if seen.path == "/a" else Answer()
    )
    client = driver.ours(policy=QUICK, clock=clock, follow_redirects=True, **telemetry.providers)
    client.get(f"{site.url}/a")
    assert [parent[2] for parent in parents(site)] == [
        f"{span.context.span_id:016x}" for span in telemetry.attempt_spans
    ]
    assert {parent[1] for parent in parents(site)} == {f"{telemetry.call_spans[0].context.trace_id:032x}"}
    assert {int(parent[3], 16) & 1 for parent in parents(site)} == {1}
    assert not any("baggage" in seen.headers or "tracestate" in seen.headers for seen in site.seen)


def test_a_call_that_is_not_sampled_says_so_to_the_origin(driver: Driver, site: Site, clock: FakeClock) -> None:
    site.script(503, 200)
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    response = driver.ours(policy=QUICK, clock=clock, tracer_provider=provider).get(site.url)
    assert [int(parent[3], 16) & 1 for parent in parents(site)] == [0, 0]
    assert {parent[1] for parent in parents(site)} == {spanwire.report(response).trace_id}
    assert len({parent[2] for parent in parents(site)}) == 2


def test_a_context_that_the_caller_wrote_gives_way_to_the_attempts_own(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    theirs = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    driver.ours(**telemetry.providers).get(site.url, headers={"traceparent": theirs})
    assert site.seen[0].headers.get_list("traceparent") != [theirs]
    assert len(site.seen[0].headers.get_list("traceparent")) == 1
    driver.ours().get(site.url, headers={"traceparent": theirs})
    assert site.seen[1].headers["traceparent"] == theirs, "nobody traces here: it is the caller's"


def test_baggage_and_trace_state_travel_along(driver: Driver, site: Site, telemetry: SpanwireTelemetry) -> None:
    context = baggage.set_baggage("tenant", "a", trace.set_span_in_context(NonRecordingSpan(REMOTE)))
    token = otel.attach(context)
    try:
        driver.ours(**telemetry.providers).get(site.url)
    finally:
        otel.detach(token)
    (seen,) = site.seen
    assert (seen.headers["baggage"], seen.headers["tracestate"]) == ("tenant=a", "vendor=1")
    assert parents(site)[0][1] == f"{REMOTE.trace_id:032x}"
    assert telemetry.call_spans[0].parent == REMOTE


class SingleHeader(TextMapPropagator):
    """A propagator of another format, like B3's single header."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = default_getter) -> Context:
        return context or Context()

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        span = trace.get_current_span(context).get_span_context()
        if span.is_valid:
            setter.set(carrier, "b3", f"{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags.sampled)}")

    @property
    def fields(self) -> set[str]:
        return {"b3"}


@pytest.mark.parametrize("which", ["another format", "none at all"])
def test_the_services_own_propagators_are_obeyed(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    wanted = SingleHeader() if which == "another format" else CompositePropagator([])
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(wanted)
    try:
        driver.ours(**telemetry.providers).get(site.url)
    finally:
        propagate.set_global_textmap(before)
    (seen,) = site.seen
    assert "traceparent" not in seen.headers
    (attempt,) = telemetry.attempt_spans
    context = attempt.get_span_context()
    b3 = f"{context.trace_id:032x}-{context.span_id:016x}-1"
    assert seen.headers.get("b3") == (b3 if which == "another format" else None)


def test_a_propagator_that_fails_is_counted_and_the_attempt_told_all_the_same(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    class Failing(SingleHeader):
        def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
            raise LookupError

    before = propagate.get_global_textmap()
    propagate.set_global_textmap(Failing())
    try:
        assert driver.ours(**telemetry.providers).get(site.url).status_code == 200
    finally:
        propagate.set_global_textmap(before)
    assert telemetry.tree() == ["call GET success", "  GET 200"]
    assert telemetry.metric("spanwire.telemetry.dropped", kind="listener") == 1
    assert trace.get_current_span() is trace.INVALID_SPAN


# -- where nobody traces ----------------------------------------------------------------------------------------------

SCRIPT = """
import sys, json
from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
import spanwire
from spanwire import Fixed, Policy, Retry

remote = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1)))
contexts = [
    context.Context(),
    baggage.set_baggage("tenant", "a"),
    trace.set_span_in_context(remote),
    baggage.set_baggage("tenant", "a", trace.set_span_in_context(remote)),
]
reports = []
with spanwire.Client(policy=Policy(retry=Retry(backoff=Fixed(seconds=0.001)))) as client:
    for one in contexts:
        token = context.attach(one)
        reports.append(spanwire.report(client.get(sys.argv[1])).trace_id)
        context.detach(token)
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
print(json.dumps(reports))
"""


def test_without_an_sdk_only_what_came_in_goes_out(site: Site) -> None:
    site.script(503, 200)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, site.url], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 0, ended.stderr
    trace_id = f"{0xABC:032x}"
    parent = f"00-{trace_id}-{0xDEF:016x}-01"
    sent = [(seen.headers.get("traceparent"), seen.headers.get("baggage")) for seen in site.seen]
    assert sent == [(None, None)] * 2 + [(None, "tenant=a"), (parent, None), (parent, "tenant=a")]
    assert json.loads(ended.stdout) == [None, None, trace_id, trace_id]


LATER = """
import sys
import spanwire
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

with spanwire.Client() as client:
    client.get(sys.argv[1])
    spans, reader, provider = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    client.get(sys.argv[1])
    scopes = [scope for resource in reader.get_metrics_data().resource_metrics for scope in resource.scope_metrics]
    found = {metric.name: metric.data.data_points for scope in scopes for metric in scope.metrics}
print([span.name for span in spans.get_finished_spans()])
print([point.count for point in found["spanwire.call.duration"]])
print(sum(point.value for point in found["spanwire.call.attempts"]))
"""


def test_an_sdk_that_is_set_up_later_is_told_from_then_on(site: Site) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", LATER, site.url], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == ["['GET', 'call GET']", "[1]", "2"], "what was counted before is not lost"
    assert ["traceparent" in seen.headers for seen in site.seen] == [False, True]


DISABLED = """
import sys
import spanwire
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())
with spanwire.Client() as client:
    print(spanwire.report(client.get(sys.argv[1])).trace_id)
    print(spanwire.report(client.request("FROB", sys.argv[1])).trace_id)
"""


def test_an_sdk_that_is_switched_off_tells_nothing_and_breaks_nothing(site: Site) -> None:
    environment = {"OTEL_SDK_DISABLED": "true", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", DISABLED, site.url],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout.split()) == (0, ["None", "None"]), ended.stderr
    assert not any("traceparent" in seen.headers for seen in site.seen)


# -- suppression ------------------------------------------------------------------------------------------------------


def test_what_an_exporter_sends_by_our_client_is_not_told(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    client = driver.ours(**telemetry.providers)
    token = otel.attach(otel.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        assert client.get(site.url).status_code == 200
    finally:
        otel.detach(token)
    assert telemetry.spans == []
    assert "traceparent" not in site.seen[0].headers
    assert telemetry.metric("http.client.request.duration") == telemetry.metric("spanwire.call.duration") == 0
    client.get(site.url)
    assert len(telemetry.spans) == 2


def test_where_an_instrumentation_above_tells_the_request_ours_makes_no_second_span(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    client = driver.ours(**telemetry.providers)
    token = otel.attach(otel.set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True))
    try:
        assert client.get(site.url).status_code == 200
    finally:
        otel.detach(token)
    assert telemetry.attempt_spans == []
    assert telemetry.metric("http.client.request.duration") == 0
    assert telemetry.metric("spanwire.call.duration") == 1, "the call is nobody else's to tell"
    assert parents(site)[0][2] == f"{telemetry.call_spans[0].context.span_id:016x}"


def test_a_client_that_is_used_below_an_attempt_of_another_makes_no_second_span(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    inner = driver.ours(name="inner", **telemetry.providers)

    class Delegating(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return inner.client.get(site.url)  # type: ignore[no-any-return]

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await inner.client.get(site.url)  # type: ignore[no-any-return]

    outer = driver.ours(name="outer", transport=Delegating(), **telemetry.providers)
    outer.get("http://x.test/")
    assert telemetry.tree() == ["call GET success", "  GET 200", "    call GET success"]
    assert parents(site)[0][2] == f"{telemetry.call_spans[1].context.span_id:016x}"
