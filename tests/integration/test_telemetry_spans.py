"""The spans of a call: tree, names, status, what samplers see, what tail samplers keep, links and events."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import Attributes

import spanwire
from spanwire import CircuitBreaker, Fixed, Policy, Retry, Timeout
from spanwire.testing import FakeClock, SpanwireTelemetry
from tests.integration.support import Answer, Driver, Seen, Site, kinds

QUICK = Policy(retry=Retry(backoff=Fixed(seconds=0.001)))
ONCE = Policy(retry=None, circuit_breaker=None)


class Tracing:
    """A tracer provider with a sampler and ids of the test's own."""

    def __init__(self, **arguments: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **arguments)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()


def status(span: ReadableSpan) -> tuple[str, object]:
    """The status of a span and its `error.type`; it never has a description or an exception's event."""
    assert span.status.description is None
    assert not [event for event in span.events if event.name == "exception"]
    return span.status.status_code.name, (span.attributes or {}).get("error.type")


def notable(span: ReadableSpan) -> bool:
    return bool((span.attributes or {}).get("spanwire.notable", False))


# -- the tree ---------------------------------------------------------------------------------------------------------


def test_a_call_is_a_tree_of_its_attempts_and_waits(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    site.script(503, 503, 200)
    client = driver.ours(policy=Policy(retry=Retry(backoff=Fixed(seconds=1))), clock=clock, **telemetry.providers)
    client.get(site.url)
    assert telemetry.tree() == [
        "call GET success",
        "  GET 503",
        "  wait backoff",
        "  GET 503",
        "  wait backoff",
        "  GET 200",
    ]
    (call,) = telemetry.call_spans
    assert (call.parent, call.kind) == (None, SpanKind.INTERNAL)
    assert {span.kind for span in telemetry.attempt_spans} == {SpanKind.CLIENT}
    assert {span.kind for span in telemetry.wait_spans} == {SpanKind.INTERNAL}
    assert len({span.context.trace_id for span in telemetry.spans}) == 1
    for span in telemetry.attempt_spans:
        assert call.start_time <= span.start_time <= span.end_time <= call.end_time  # type: ignore[operator]
    for span in telemetry.spans:
        scope = span.instrumentation_scope
        assert scope is not None
        assert (scope.name, scope.version) == ("spanwire", spanwire.__version__)
        assert scope.schema_url.startswith("https://opentelemetry.io/schemas/")  # type: ignore[union-attr]


def test_redirects_answers_to_challenges_and_retries_are_attempts_of_one_tree(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    def answer(seen: Seen) -> Answer:
        match seen.number:
            case 1:
                return Answer(503)
            case 2:
                return Answer(302, b"", {"location": "/b"})
            case 3:
                return Answer(401, b"", {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
        return Answer()

    site.answer = answer
    client = driver.ours(
        policy=QUICK, clock=clock, auth=httpx.DigestAuth("u", "p"), follow_redirects=True, **telemetry.providers
    )
    assert client.get(f"{site.url}/a").status_code == 200
    assert kinds(telemetry) == ["primary", "retry", "redirect", "auth"]
    found = [span.attributes or {} for span in telemetry.attempt_spans]
    assert [one.get("http.request.resend_count") for one in found] == [None, 1, 2, 3]
    assert [str(one["url.full"]).rpartition("/")[2] for one in found] == ["a", "a", "b", "a"], "httpx starts again"
    assert len(telemetry.call_spans) == 1


def test_a_call_joins_the_trace_that_it_is_made_in(driver: Driver, site: Site, telemetry: SpanwireTelemetry) -> None:
    client = driver.ours(**telemetry.providers)
    tracer = telemetry.tracer_provider.get_tracer("mine")
    with tracer.start_as_current_span("mine") as mine:
        client.get(site.url)
    (call,) = telemetry.call_spans
    assert call.parent == mine.get_span_context()
    assert site.seen[0].headers["traceparent"].split("-")[1] == f"{mine.get_span_context().trace_id:032x}"


def test_spans_are_named_by_the_route_where_it_is_known(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    client = driver.ours(**telemetry.providers)
    client.get(f"{site.url}/invoices/42", extensions=spanwire.override(route="/invoices/{id}"))
    client.get(f"{site.url}/invoices/42")
    assert [span.name for span in telemetry.call_spans] == ["call GET /invoices/{id}", "call GET"]
    assert [span.name for span in telemetry.attempt_spans] == ["GET /invoices/{id}", "GET"]
    for span in telemetry.spans:
        template = (span.attributes or {}).get("url.template")
        assert template == ("/invoices/{id}" if "/" in span.name else None)


def test_a_method_that_nobody_knows_is_told_by_no_name_but_its_original(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    driver.ours(**telemetry.providers).request("FROB", site.url)
    assert [span.name for span in telemetry.call_spans + telemetry.attempt_spans] == ["call HTTP", "HTTP"]
    found = telemetry.attempt_spans[0].attributes or {}
    assert (found["http.request.method"], found["http.request.method_original"]) == ("_OTHER", "FROB")
    assert (telemetry.call_spans[0].attributes or {})["http.request.method"] == "_OTHER"


def test_the_service_says_which_methods_are_known() -> None:
    code = "from spanwire.telemetry import conventions as c; print(c.method_of('FROB'), c.span_name('GET', None))"
    environment = {"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "FROB,POST", "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert told.stdout.split() == ["FROB", "HTTP"]


def test_an_attempt_is_described_by_the_stable_conventions(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    driver.ours(name="billing", **telemetry.providers).get(f"{site.url}/a?page=2")
    found = dict(telemetry.attempt_spans[0].attributes or {})
    port = int(site.url.rpartition(":")[2])
    assert found.pop("spanwire.connect.time") > 0  # type: ignore[operator]
    assert found == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.full": f"{site.url}/a?page=REDACTED",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": port,
        "spanwire.attempt.kind": "primary",
    }


def test_the_port_is_told_also_where_it_is_the_default(driver: Driver, telemetry: SpanwireTelemetry) -> None:
    client = driver.ours(transport=driver.transport(lambda request: httpx.Response(200)), **telemetry.providers)
    for url in ("http://a.test/", "https://b.test/", "https://b.test:8443/"):
        client.get(url)
    found = [(span.attributes or {}) for span in telemetry.attempt_spans]
    assert [one["server.port"] for one in found] == [80, 443, 8443]
    assert [one["url.full"] for one in found] == ["http://a.test/", "https://b.test/", "https://b.test:8443/"]


# -- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "attempts", "call", "outcome"),
    [
        ((200,), [("UNSET", None)], ("UNSET", None), "success"),
        ((304,), [("UNSET", None)], ("UNSET", None), "success"),
        ((404,), [("ERROR", "404")], ("UNSET", None), "success"),
        ((429, 200), [("ERROR", "429"), ("UNSET", None)], ("UNSET", None), "success"),
        ((503, 200), [("ERROR", "503"), ("UNSET", None)], ("UNSET", None), "success"),
        ((503, 503, 503), [("ERROR", "503")] * 3, ("ERROR", "503"), "failure"),
        ((501,), [("ERROR", "501")], ("ERROR", "501"), "failure"),
    ],
)
def test_a_span_is_an_error_only_if_what_it_stands_for_failed(
    *,
    driver: Driver,
    site: Site,
    telemetry: SpanwireTelemetry,
    clock: FakeClock,
    statuses: tuple[int, ...],
    attempts: list[tuple[str, object]],
    call: tuple[str, object],
    outcome: str,
) -> None:
    site.script(*statuses)
    driver.ours(policy=QUICK, clock=clock, **telemetry.providers).get(site.url)
    assert [status(span) for span in telemetry.attempt_spans] == attempts
    assert status(telemetry.call_spans[0]) == call
    assert (telemetry.call_spans[0].attributes or {})["spanwire.outcome"] == outcome


def test_an_error_is_told_by_its_class(driver: Driver, nobody: str, telemetry: SpanwireTelemetry) -> None:
    client = driver.ours(policy=ONCE, **telemetry.providers)
    with pytest.raises(httpx.ConnectError):
        client.get(nobody)
    assert [status(span) for span in telemetry.spans] == [("ERROR", f"{httpx.__name__}.ConnectError")] * 2
    (point,) = telemetry.points("http.client.request.duration")
    assert point.attributes["error.type"] == f"{httpx.__name__}.ConnectError", "the span and its metric agree"


# -- what samplers see ------------------------------------------------------------------------------------------------


class Recording(Sampler):
    """Remembers what it was asked, and takes what the test says."""

    def __init__(self, takes: bool = True) -> None:
        self.asked: list[tuple[str, Any, dict[str, Any], list[Link]]] = []
        self.takes = takes

    def should_sample(  # noqa: PLR0917  (as the SDK calls it)
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        self.asked.append((name, kind, dict(attributes or {}), list(links or ())))
        return SamplingResult(Decision.RECORD_AND_SAMPLE if self.takes else Decision.DROP, attributes)

    def get_description(self) -> str:
        return "recording"


def test_samplers_see_what_a_decision_needs(driver: Driver, site: Site) -> None:
    site.script(503, 200)
    sampler = Recording()
    client = driver.ours(name="billing", policy=QUICK, tracer_provider=Tracing(sampler=sampler).provider)
    client.get(f"{site.url}/invoices/42", extensions=spanwire.override(route="/invoices/{id}"))
    port = int(site.url.rpartition(":")[2])
    where = {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.template": "/invoices/{id}",
    }
    attempt = {**where, "url.full": f"{site.url}/invoices/42"}
    asked = [(name, kind, attributes) for name, kind, attributes, _ in sampler.asked if not name.startswith("wait")]
    assert asked == [
        (
            "call GET /invoices/{id}",
            SpanKind.INTERNAL,
            {**where, "spanwire.client.name": "billing", "spanwire.policy.hash": client.policy.hash},
        ),
        ("GET /invoices/{id}", SpanKind.CLIENT, {**attempt, "spanwire.attempt.kind": "primary"}),
        (
            "GET /invoices/{id}",
            SpanKind.CLIENT,
            {**attempt, "spanwire.attempt.kind": "retry", "http.request.resend_count": 1},
        ),
    ]


def test_what_a_sampler_drops_is_measured_all_the_same(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    tracing = Tracing(sampler=Recording(takes=False))
    client = driver.ours(tracer_provider=tracing.provider, meter_provider=telemetry.meter_provider)
    response = client.get(site.url)
    assert not tracing.spans
    assert telemetry.metric("spanwire.call.duration") == 1
    assert telemetry.metric("http.client.request.duration") == 1
    assert not [exemplar for point in telemetry.points("spanwire.call.duration") for exemplar in point.exemplars]
    assert spanwire.report(response).trace_id == site.seen[0].headers["traceparent"].split("-")[1]


# -- what tail samplers keep ------------------------------------------------------------------------------------------


def test_a_plain_success_is_not_notable(driver: Driver, site: Site, telemetry: SpanwireTelemetry) -> None:
    site.answer = lambda seen: Answer(302, b"", {"location": "/b"}) if seen.path == "/a" else Answer(404)
    client = driver.ours(follow_redirects=True, **telemetry.providers)
    client.get(f"{site.url}/a")
    assert [notable(span) for span in telemetry.spans] == [False] * 3, "neither is a redirect, or an answer below 500"


def test_a_call_that_was_retried_is_notable_and_so_is_all_that_ends_later(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    site.script(429, 200)
    client = driver.ours(policy=Policy(retry=Retry(backoff=Fixed(seconds=1))), clock=clock, **telemetry.providers)
    client.get(site.url)
    found = {
        span.name + str((span.attributes or {}).get("http.response.status_code", "")): span for span in telemetry.spans
    }
    assert {name: notable(span) for name, span in found.items()} == {
        "call GET": True,
        "GET429": False,
        "wait backoff": True,
        "GET200": True,
    }


@pytest.mark.parametrize("ending", ["500", "error", "deadline", "rejected"])
def test_a_call_that_failed_is_notable(
    driver: Driver, site: Site, nobody: str, telemetry: SpanwireTelemetry, ending: str
) -> None:
    site.script(500)
    policy = Policy(
        timeout=Timeout(total=0.05 if ending == "deadline" else 30),
        retry=None,
        circuit_breaker=CircuitBreaker(consecutive_failures=1) if ending == "rejected" else None,
    )
    client = driver.ours(policy=policy, **telemetry.providers)
    if ending == "deadline":
        site.answer = site.stall
    if ending in ("500", "rejected"):
        client.get(site.url)
    if ending != "500":
        with pytest.raises(httpx.TransportError):
            client.get(nobody if ending == "error" else site.url)
    assert all(notable(span) for span in telemetry.call_spans)


class Ids(IdGenerator):
    """Trace ids with a given randomness: the last 56 bits, as a share of all there are."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._spans = RandomIdGenerator()

    def generate_span_id(self) -> int:
        return self._spans.generate_span_id()

    def generate_trace_id(self) -> int:
        return 0xABC << 64 | 1 << 63 | int(self.share * (1 << 56))


@pytest.mark.parametrize(("share", "belongs"), [(0.0, True), (0.0999, True), (0.1001, False), (0.999, False)])
def test_a_tenth_of_all_calls_is_the_baseline_by_the_randomness_of_their_trace(
    driver: Driver, site: Site, share: float, belongs: bool
) -> None:
    tracing = Tracing(id_generator=Ids(share))
    driver.ours(tracer_provider=tracing.provider).get(site.url)
    attempt, call = tracing.spans
    assert (call.attributes or {}).get("spanwire.baseline", False) is belongs
    assert "spanwire.baseline" not in (attempt.attributes or {})


# -- causes -----------------------------------------------------------------------------------------------------------


def test_a_refusal_and_a_probe_are_linked_to_what_opened_the_breaker(
    driver: Driver, site: Site, clock: FakeClock
) -> None:
    site.script(500, 500, 200)
    sampler = Recording()
    tracing = Tracing(sampler=sampler)
    policy = Policy(retry=None, circuit_breaker=CircuitBreaker(consecutive_failures=2, break_duration=5))
    client = driver.ours(policy=policy, clock=clock, tracer_provider=tracing.provider)
    client.get(site.url)
    client.get(site.url)
    with pytest.raises(spanwire.CircuitOpen) as refused:
        client.get(site.url)
    clock.advance(refused.value.retry_after or 0)
    client.get(site.url)
    attempts = [span for span in tracing.spans if span.kind is SpanKind.CLIENT]
    calls = [span for span in tracing.spans if span.kind is SpanKind.INTERNAL]
    tripping = attempts[1].get_span_context()
    assert refused.value.tripped_by == tripping
    assert [[link.context for link in span.links] for span in calls] == [[], [], [tripping], []]
    assert [[link.context for link in span.links] for span in attempts] == [[], [], [tripping]]
    links = [link for span in (*calls, *attempts) for link in span.links]
    assert [dict(link.attributes or {}) for link in links] == [{"spanwire.link.relation": "tripped_by"}] * 2
    name, _, _, at_start = sampler.asked[-1]
    assert (name, [link.context for link in at_start]) == ("GET", [tripping]), "samplers see it"


# -- events -----------------------------------------------------------------------------------------------------------


def test_each_decision_of_a_call_is_an_event_with_its_evidence(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, clock: FakeClock
) -> None:
    site.script(503, 503)
    policy = Policy(retry=Retry(max_attempts=2, backoff=Fixed(seconds=2)))
    driver.ours(policy=policy, clock=clock, **telemetry.providers).get(site.url)
    (call,) = telemetry.call_spans
    assert [event.name for event in call.events] == ["spanwire.retry.scheduled", "spanwire.retry.exhausted"]
    scheduled, exhausted = (dict(event.attributes or {}) for event in call.events)
    assert scheduled == {
        "spanwire.reason": "status",
        "spanwire.retry.attempt": 1,
        "spanwire.retry.outcome": "503",
        "spanwire.retry.delay": 2.0,
        "spanwire.retry.delay_source": "backoff",
        "spanwire.retry.budget_left": 486.0,
        "spanwire.retry.deadline_left": 30.0,
    }
    assert (exhausted["spanwire.reason"], exhausted["spanwire.retry.attempt"]) == ("max_attempts", 2)


def test_a_change_of_state_is_told_in_the_log_with_the_trace_that_caused_it(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    site.script(500)
    policy = Policy(retry=None, circuit_breaker=CircuitBreaker(consecutive_failures=1))
    driver.ours(name="billing", policy=policy, **telemetry.providers).get(site.url)
    (record,) = telemetry.log_records
    (call,) = telemetry.call_spans
    assert record.event_name == "spanwire.circuit_breaker.transition"
    assert (record.trace_id, record.span_id) == (call.context.trace_id, call.context.span_id)
    assert record.severity_number.name.startswith("ERROR"), "an opened breaker"
    assert record.attributes["spanwire.client.name"] == "billing"
    assert not call.events


@pytest.mark.parametrize(
    ("place", "on_span", "in_log"), [("span", True, False), ("log", False, True), ("both", True, True)]
)
def test_the_decisions_of_calls_are_told_where_the_environment_says(
    *,
    driver: Driver,
    site: Site,
    telemetry: SpanwireTelemetry,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    on_span: bool,
    in_log: bool,
) -> None:
    monkeypatch.setenv("SPANWIRE_EVENTS", place)
    site.script(503, 200)
    driver.ours(policy=QUICK, clock=clock, **telemetry.providers).get(site.url)
    (call,) = telemetry.call_spans
    assert [event.name for event in call.events] == ["spanwire.retry.scheduled"] * on_span
    assert [record.event_name for record in telemetry.log_records] == ["spanwire.retry.scheduled"] * in_log
    for record in telemetry.log_records:
        assert record.trace_id == call.context.trace_id
        assert record.attributes["spanwire.retry.outcome"] == "503"


def test_a_place_for_events_that_there_is_not_is_refused() -> None:
    code = "import spanwire; spanwire.Client()"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"SPANWIRE_EVENTS": "nowhere", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert told.returncode == 1
    assert "`SPANWIRE_EVENTS` = 'nowhere' is impossible: it should be one of span, log, both" in told.stderr


# -- what is current inside a call ------------------------------------------------------------------------------------


def test_the_users_code_inside_a_call_finds_its_span_current(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    seen: dict[str, int] = {}

    def note(place: str) -> None:
        seen[place] = trace.get_current_span().get_span_context().span_id

    class Interceptor:
        def __init__(self, around: str) -> None:
            self.around = around

        def on_request(self, request: httpx.Request, context: spanwire.Context) -> None:
            note(f"request around the {self.around}")

        def on_response(self, response: httpx.Response, context: spanwire.Context) -> None:
            note(f"response around the {self.around}")

    def handler(request: httpx.Request) -> httpx.Response:
        note("wire")
        return httpx.Response(200)

    client = driver.ours(
        transport=driver.transport(handler),
        interceptors=[Interceptor("call"), Interceptor("attempt")],
        event_hooks={"request": [driver.hook(lambda request: note("hook"))]},
        **telemetry.providers,
    )
    client.get("http://x.test/")
    call, attempt = telemetry.call_spans[0].context.span_id, telemetry.attempt_spans[0].context.span_id
    assert seen.pop("wire") == attempt
    assert set(seen.values()) == {call}
    assert len(seen) == 5
