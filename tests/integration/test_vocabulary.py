"""The drift test: all that a run of scenarios tells is declared, and all that is declared was told by one of them."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import Histogram, Sum
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler, SamplingResult

import spanwire
from spanwire import CircuitBreaker, Fallback, Fixed, Policy, Retry, RetryBudget, Timeout
from spanwire.call import MAX_DECISIONS, MAX_LINKS
from spanwire.decisions import CLIENT, DECISIONS, METRICS, Attribute, described
from spanwire.metrics import METHODS
from spanwire.spans import ATTEMPT, CALL, RELATION, SPANS, WAIT, SpanShape
from spanwire.testing import Answer, FakeClock, FaultyOrigin, SpanwireTelemetry

URL = "http://origin.test"
NOT_YET_THERE = {"rate_limit", "concurrency", "token", "cache", "coalesce"}
LATER: dict[str, set[str]] = {
    "spanwire.attempt.kind": {"hedge", "probe", "revalidation"},
    "spanwire.deadline.phase": NOT_YET_THERE,
    "spanwire.endpoint": set(),
    "spanwire.outcome": {"cached"},
    "spanwire.phase": NOT_YET_THERE,
    "spanwire.wait.kind": NOT_YET_THERE - {"cache"},
}
"""What is declared for policies that are not there yet: values or a whole key. Whoever adds one takes its words out."""


class Point(NamedTuple):
    """A point of a metric as it was collected once."""

    metric: Any
    attributes: dict[str, Any]
    value: float


class Noting(Sampler):
    """Samples everything, and notes what it was shown."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, Any]]] = []

    def should_sample(self, parent_context: Any, trace_id: int, name: str, *rest: Any, **more: Any) -> SamplingResult:
        attributes = more.get("attributes") or next((item for item in rest if isinstance(item, dict)), {})
        self.notes.append((name, dict(attributes)))
        return ALWAYS_ON.should_sample(parent_context, trace_id, name, *rest, **more)

    def get_description(self) -> str:
        return "noting"


class Scripted(httpx.BaseTransport):
    """Answers with a status, a response, an error or what a function makes of the request; a list of them in turn."""

    def __init__(self, answer: Any) -> None:
        self.answers = iter(answer) if isinstance(answer, list) else itertools.repeat(answer)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        found = next(self.answers)
        if callable(found) and not isinstance(found, type):
            found = found(request)
        if isinstance(found, type):
            raise found("as told", request=request) if issubclass(found, httpx.RequestError) else found
        return httpx.Response(found) if isinstance(found, int) else found


@dataclass
class World:
    """Where the scenarios run: a clock that they move, the SDK in memory, and all that was collected."""

    folder: Path
    real: FaultyOrigin
    clock: FakeClock = field(default_factory=FakeClock)
    telemetry: SpanwireTelemetry = field(default_factory=SpanwireTelemetry)
    sampler: Noting = field(default_factory=Noting)
    points: list[Point] = field(default_factory=list)

    @contextlib.contextmanager
    def client(self, answer: Any = 200, **more: Any) -> Iterator[spanwire.Client]:
        """A client with a scripted origin; parts of the policy by their names. At its end all is collected."""
        parts = {name: more.pop(name) for name in list(more) if name in Policy.model_fields and name != "timeout"}
        if "total" in more:
            parts["timeout"] = Timeout(total=more.pop("total"))
        given = {"transport": Scripted(answer), "clock": self.clock, "name": "billing"}
        given = {**given, "policy": Policy(**parts), **self.telemetry.providers, **more}
        with spanwire.Client(**given) as client:
            yield client
            self.collect()

    def takes(self, seconds: float, answer: Any = 200, **written: Any) -> Callable[[httpx.Request], Any]:
        """An answer that takes its time; what the wire would write on the attempt is given by name."""

        def slowly(request: httpx.Request) -> Any:
            for name, value in written.items():
                setattr(request.extensions["spanwire.attempt"], name, value)
            self.clock.advance(seconds)
            return answer

        return slowly

    def collect(self) -> None:
        """Note what is told now; levels end with their client."""
        for metric in self.telemetry._metrics():
            for point in metric.data.data_points:
                value = point.count if isinstance(metric.data, Histogram) else point.value
                self.points.append(Point(metric, dict(point.attributes or {}), value))


SCENARIOS: list[Callable[[World], None]] = []


def scenario(story: Callable[[World], None]) -> Callable[[World], None]:
    SCENARIOS.append(story)
    return story


def fails(client: spanwire.Client, expected: type[BaseException]) -> None:
    """A request that ends in an error."""
    with pytest.raises(expected):
        client.get(URL)


QUICK = Retry(max_attempts=2, backoff=Fixed(seconds=0.5))
ONCE: dict[str, Any] = {"retry": None, "circuit_breaker": None}

# -- calls and attempts ------------------------------------------------------------------------------------------------


@scenario
def every_method(world: World) -> None:
    with world.client() as client:
        for method in (*METHODS, "PURGE"):
            client.request(method, URL, extensions=spanwire.override(route="/invoices/{id}"))


@scenario
def every_protocol(world: World) -> None:
    versions = [b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2", b"HTTP/3"]
    answers = [httpx.Response(200, extensions={"http_version": version}) for version in versions]
    with world.client(answers) as client:
        for _ in versions:
            client.get(URL)


@scenario
def a_call_of_the_baseline(world: World) -> None:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    parent = trace.SpanContext(trace_id=1, span_id=1, is_remote=True, trace_flags=flags)
    token = otel.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))
    try:
        with world.client() as client:
            client.get(URL)
    finally:
        otel.detach(token)


@scenario
def a_redirect_and_a_challenge(world: World) -> None:
    with world.client([httpx.Response(302, headers={"location": "/b"}), 200], follow_redirects=True) as client:
        client.get(URL)
    challenge = httpx.Response(401, headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
    with world.client([challenge, 200], auth=httpx.DigestAuth("user", "password")) as client:
        client.get(URL)


@scenario
def a_crowd_before_one_connection(world: World) -> None:
    world.real.script(Answer(hold=True))
    limits = httpx.Limits(max_connections=1)
    with spanwire.Client(name="crowded", limits=limits, **world.telemetry.providers) as client:
        threads = [threading.Thread(target=client.get, args=(world.real.url,)) for _ in range(2)]
        for number, thread in enumerate(threads):
            thread.start()
            world.real.until(lambda real: real.held == 1)
            world.collect()
            if number:
                world.real.release()
        world.real.until(lambda real: len(real.requests) == 2 and real.held == 1)
        world.real.release()
        for thread in threads:
            thread.join()
        world.collect()


@scenario
def a_cancelled_call(world: World) -> None:
    with world.client(KeyboardInterrupt) as client:
        fails(client, KeyboardInterrupt)


# -- deadlines ---------------------------------------------------------------------------------------------------------


@scenario
def shares_of_the_total(world: World) -> None:
    answers = [world.takes(seconds) for seconds in (1, 6, 9)]
    with world.client(answers, total=10) as client:
        for _ in answers:
            client.get(URL)


@scenario
def deadlines_used_up_by_every_phase(world: World) -> None:
    for written in ({}, {"pool_wait": 9.0}, {"connect": 9.0}):
        with world.client(world.takes(11, httpx.ReadTimeout, **written), total=10, **ONCE) as client:
            fails(client, spanwire.DeadlineExceeded)

    waits = Retry(max_attempts=2, backoff=Fixed(seconds=6))
    answers = [world.takes(1, 503), world.takes(3.5, httpx.ReadTimeout)]
    with world.client(answers, total=10, retry=waits) as client:
        fails(client, spanwire.DeadlineExceeded)

    slow = type("Slow", (), {"on_request": lambda self, request, context: world.clock.advance(11)})()
    with world.client(total=10, interceptors=[slow]) as client:
        fails(client, spanwire.DeadlineExceeded)

    class Drip(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(3):
                world.clock.advance(6)
                yield b"."

    with world.client([httpx.Response(200, stream=Drip())], total=10) as client:
        fails(client, spanwire.DeadlineExceeded)


# -- retry -------------------------------------------------------------------------------------------------------------


@scenario
def a_retry_for_every_cause(world: World) -> None:
    errors = [httpx.ConnectError, httpx.PoolTimeout, httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError]
    throttled = httpx.Response(429, headers={"retry-after": "2"})
    asked = httpx.Response(400, headers={"x-should-retry": "true"})
    for cause in (503, throttled, asked, *errors):
        with world.client([cause, 200], retry=QUICK) as client:
            client.get(URL)
    judge = Retry(max_attempts=2, backoff=Fixed(seconds=0.5), should_retry=lambda outcome: outcome.attempt == 1)
    with world.client(200, retry=judge) as client:
        client.get(URL)


@scenario
def no_retry_for_every_reason(world: World) -> None:
    with world.client(httpx.UnsupportedProtocol, retry=QUICK) as client:
        fails(client, httpx.UnsupportedProtocol)
    with world.client(503, retry=QUICK) as client:
        client.post(URL)
        client.put(URL, content=iter([b"once"]))
        client.get(URL)
    with world.client(503, retry=QUICK.model_copy(update={"budget": RetryBudget(capacity=14)})) as client:
        client.get(URL)
        client.get(URL)
    waits = Retry(max_attempts=2, backoff=Fixed(seconds=9))
    with world.client(world.takes(2, 503), retry=waits, total=10) as client:
        client.get(URL)
    with world.client(httpx.Response(503, headers={"retry-after": "3600"}), retry=QUICK) as client:
        client.get(URL)

    def gives_up(*_: Any) -> None:
        raise KeyboardInterrupt

    with world.client(503, retry=Retry(max_attempts=2, on_retry=gives_up)) as client:
        fails(client, KeyboardInterrupt)


@scenario
def many_attempts(world: World) -> None:
    for count in (3, 5):
        with world.client(503, retry=Retry(max_attempts=count, backoff=Fixed(seconds=0))) as client:
            client.get(URL)


# -- circuit breaker ---------------------------------------------------------------------------------------------------


def breaker(**more: Any) -> dict[str, Any]:
    return {"retry": None, "circuit_breaker": CircuitBreaker(**{"break_duration": 1.0, "success_threshold": 1, **more})}


@scenario
def a_breaker_opens_probes_and_closes(world: World) -> None:
    with world.client([500, 500, 500, 200], **breaker(consecutive_failures=2)) as client:
        client.get(URL)
        client.get(URL)
        fails(client, spanwire.CircuitOpen)
        for _ in range(2):  # a probe fails, and another succeeds
            world.clock.advance(5)
            world.collect()
            client.get(URL)


@scenario
def a_breaker_opens_by_every_rule(world: World) -> None:
    with world.client(500, **breaker(min_calls=2)) as client:
        for _ in range(2):
            client.get(URL)
        fails(client, spanwire.CircuitOpen)
    with world.client(world.takes(2), **breaker(slow_call_ratio=0.5, slow_call_duration=1.0, min_calls=2)) as client:
        for _ in range(2):
            client.get(URL)
        fails(client, spanwire.CircuitOpen)
        world.clock.advance(5)
        client.get(URL)  # a slow probe


@scenario
def a_breaker_is_told_what_to_do(world: World) -> None:
    with world.client(200, **breaker()) as client:
        view = client.circuit_breakers[URL]
        view.force_open()
        fails(client, spanwire.CircuitOpen)
        for command in ("enable", "disable", "enable", "force_open", "disable", "force_open", "reset"):
            getattr(view, command)()
            world.clock.advance(1)
            world.collect()


@scenario
def a_breaker_has_no_probe_to_spare(world: World) -> None:
    def asks_again(request: httpx.Request) -> int:
        world.clock.advance(0.1)
        world.collect()
        fails(client, spanwire.CircuitOpen)
        return 200

    with world.client([500, asks_again], **breaker(consecutive_failures=1)) as client:
        client.get(URL)
        world.clock.advance(5)
        client.get(URL)


@scenario
def a_breaker_only_observes(world: World) -> None:
    with world.client(500, **breaker(consecutive_failures=1, mode="observe")) as client:
        for _ in range(2):
            client.get(URL)
        world.clock.advance(5)
        client.get(URL)


# -- fallback ----------------------------------------------------------------------------------------------------------


@scenario
def a_fallback_for_every_failure(world: World) -> None:
    serves = Fallback(response={"status": 203})
    makes = Fallback(function=lambda request, outcome: httpx.Response(203))
    for answer, fallback in ((503, serves), (httpx.ConnectError, makes), (world.takes(11, httpx.ReadTimeout), serves)):
        with world.client(answer, fallback=fallback, total=10, **ONCE) as client:
            client.get(URL)
    with world.client(500, fallback=serves, **breaker(consecutive_failures=1)) as client:
        client.get(URL)
        client.get(URL)


# -- configuration -----------------------------------------------------------------------------------------------------


@scenario
def a_policy_is_reloaded(world: World) -> None:
    with world.client() as client:
        client.reload(Policy(retry=QUICK))


@scenario
def a_watched_file_becomes_impossible(world: World) -> None:
    file = world.folder / "policy.yaml"
    file.write_text("retry: {max_attempts: 2}\n")
    watch = Policy.watch(file)
    with world.client(policy=watch) as client:
        file.write_text("retry: {max_attempts: 0}\n")
        client._engine.look(watch)


# -- what has to be left out -------------------------------------------------------------------------------------------


@scenario
def too_many_labels(world: World) -> None:
    with world.client() as client:
        for number in range(40):
            client.get(f"http://host{number}.test", extensions=spanwire.override(route=f"/{number}"))


@scenario
def too_many_decisions(world: World) -> None:
    many = Retry(max_attempts=MAX_DECISIONS + 2, backoff=Fixed(seconds=0), budget=None)
    with world.client(503, retry=many, circuit_breaker=None) as client:
        client.get(URL)


@scenario
def too_many_links(world: World) -> None:
    """A call that is sent from one origin to the next, each with a breaker that would have refused."""
    hosts = [f"http://host{number}.test" for number in range(MAX_LINKS + 2)]
    ways = [httpx.Response(302, headers={"location": host}) for host in hosts[1:]]
    answers = [*[500] * len(hosts), *ways, 200]
    with world.client(answers, follow_redirects=True, **breaker(consecutive_failures=1, mode="observe")) as client:
        for host in hosts:
            client.get(host)
        client.get(hosts[0])


@scenario
def a_listener_that_fails(world: World) -> None:
    class Failing(spanwire.Listener):
        def opened(self, call: spanwire.Call) -> None:
            raise ArithmeticError

    with world.client(listeners=[Failing()]) as client:
        client.get(URL)


# -- the run -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All scenarios, run once."""
    with FaultyOrigin() as real, SpanwireTelemetry() as telemetry:
        world = World(tmp_path_factory.mktemp("vocabulary"), real, telemetry=telemetry)
        telemetry.tracer_provider.sampler = world.sampler
        for story in SCENARIOS:
            story(world)
        yield world


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def types_of(attribute: Attribute, value: Any) -> bool:
    """Whether a value is of its attribute's set, where that is closed, and of a type that is told."""
    return (not attribute.values or text(value) in attribute.values) and type(value) in (str, bool, int, float, tuple)


def missing(attribute: Attribute, told: set[str]) -> set[str]:
    """The values of a closed set that were not told, though their policy is there."""
    return set(attribute.values) - told - LATER.get(attribute.key, set())


# -- all that is told is declared: spans -------------------------------------------------------------------------------


def shape(span: ReadableSpan) -> SpanShape:
    if span.kind is trace.SpanKind.CLIENT:
        return ATTEMPT
    return WAIT if span.name.startswith("wait ") else CALL


def test_spans_have_the_declared_names_and_kinds(world: World) -> None:
    for span in world.telemetry.spans:
        declared = shape(span)
        pattern = re.sub(r" ?\{\w+\}", r"( ?\\S+)?", declared.name)
        assert re.fullmatch(pattern, span.name), span.name
        assert span.kind.name == declared.kind


def test_spans_have_declared_attributes_of_the_declared_sets(world: World) -> None:
    for span in world.telemetry.spans:
        declared = {placed.attribute.key: placed.attribute for placed in shape(span).attributes}
        for key, value in (span.attributes or {}).items():
            assert key in declared, f"{key} is on {span.name} and not declared there"
            assert types_of(declared[key], value), f"{key} = {value!r}"


def test_samplers_see_what_is_declared_to_be_there_from_the_start(world: World) -> None:
    for name, attributes in world.sampler.notes:
        declared = WAIT if name.startswith("wait ") else CALL if name.startswith("call ") else ATTEMPT
        at_start = {placed.attribute.key for placed in declared.attributes if placed.at == "start"}
        always = {placed.attribute.key for placed in declared.attributes if placed.at == "start" and not placed.where}
        assert always <= set(attributes) <= at_start


def test_links_say_what_they_are(world: World) -> None:
    links = [link for span in world.telemetry.spans for link in span.links]
    assert links
    assert all(set(link.attributes or {}) == {RELATION.key} for link in links)
    assert {text((link.attributes or {})[RELATION.key]) for link in links} == set(RELATION.values)


# -- all that is told is declared: events ------------------------------------------------------------------------------


def events(world: World) -> list[tuple[str, dict[str, Any], bool]]:
    """The name, the evidence and whether it is in the log, of every event."""
    on_spans = [
        (event.name, dict(event.attributes or {}), False) for span in world.telemetry.spans for event in span.events
    ]
    return on_spans + [(record.event_name, dict(record.attributes), True) for record in world.telemetry.log_records]


def test_events_are_declared_with_their_evidence(world: World) -> None:
    for name, evidence, logged in events(world):
        declared = {attribute.key: attribute for attribute in described(DECISIONS[name]).values()}
        if logged:
            assert evidence.pop(CLIENT.key)
        for key, value in evidence.items():
            assert key in declared, f"{key} is on {name} and not declared there"
            assert types_of(declared[key], value), f"{name}: {key} = {value!r}"


def test_changes_of_state_are_in_the_log_and_steps_of_a_call_on_its_span(world: World) -> None:
    for name, _, logged in events(world):
        assert logged == DECISIONS[name].LASTING, name


def test_log_events_have_a_severity_and_their_name_as_a_body(world: World) -> None:
    for record in world.telemetry.log_records:
        assert record.severity_number.value in (9, 13, 17)
        assert record.body == record.event_name
        assert record.timestamp


# -- all that is told is declared: metrics -----------------------------------------------------------------------------


def test_metrics_are_declared_with_their_kind_unit_and_description(world: World) -> None:
    for point in world.points:
        declared, data = METRICS[point.metric.name], point.metric.data
        kind = "histogram" if isinstance(data, Histogram) else "counter" if data.is_monotonic else "updown"
        assert isinstance(data, Histogram | Sum)
        assert (kind, point.metric.unit, point.metric.description) == (declared.kind, declared.unit, declared.brief)
        for found in data.data_points if kind == "histogram" else ():
            assert tuple(found.explicit_bounds) == declared.buckets


def test_metrics_have_declared_labels_of_the_declared_sets(world: World) -> None:
    for point in world.points:
        declared = {attribute.key: attribute for attribute in (CLIENT, *METRICS[point.metric.name].attributes)}
        assert CLIENT.key in point.attributes
        for key, value in point.attributes.items():
            assert key in declared, f"{key} is a label of {point.metric.name} and not declared there"
            assert types_of(declared[key], value), f"{point.metric.name}: {key} = {value!r}"


def test_counters_and_levels_have_all_their_labels(world: World) -> None:
    for point in world.points:
        declared = METRICS[point.metric.name]
        if declared.kind != "histogram":
            assert set(point.attributes) == {CLIENT.key, *(attribute.key for attribute in declared.attributes)}


@pytest.mark.parametrize("name", METRICS)
def test_labels_are_few_in_number_for_each_client(world: World, name: str) -> None:
    for attribute in METRICS[name].attributes:
        if attribute.limit:
            points = [point for point in world.points if point.metric.name == name]
            for client in {point.attributes[CLIENT.key] for point in points if name != "spanwire.policy.info"}:
                values = {
                    point.attributes.get(attribute.key) for point in points if point.attributes[CLIENT.key] == client
                }
                assert len(values - {None, "_other"}) <= attribute.limit


# -- all that is declared was told -------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [pytest.param(span, id=span.name) for span in SPANS])
def test_every_attribute_of_a_span_was_told_with_every_value(world: World, declared: SpanShape) -> None:
    spans = [span for span in world.telemetry.spans if shape(span) is declared]
    for attribute in (placed.attribute for placed in declared.attributes):
        told = {text(value) for span in spans for key, value in (span.attributes or {}).items() if key == attribute.key}
        assert told or attribute.key in LATER, f"{attribute.key} was never told"
        assert not missing(attribute, told)


@pytest.mark.parametrize("name", DECISIONS)
def test_every_decision_was_told_with_all_its_evidence_and_every_value(world: World, name: str) -> None:
    evidence = [found for known, found, _ in events(world) if known == name]
    assert evidence, f"{name} was never told"
    for attribute in described(DECISIONS[name]).values():
        told = {text(found[attribute.key]) for found in evidence if attribute.key in found}
        assert told, f"{attribute.key} was never told of {name}"
        assert not missing(attribute, told)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_was_told_with_every_label_and_every_value(world: World, name: str) -> None:
    points = [point for point in world.points if point.metric.name == name and point.value]
    assert points, f"{name} was never told"
    for attribute in METRICS[name].attributes:
        told = {text(point.attributes[attribute.key]) for point in points if attribute.key in point.attributes}
        assert told, f"{attribute.key} was never a label of {name}"
        assert not missing(attribute, told)


def test_what_comes_later_has_not_come_yet(world: World) -> None:
    """Else it is to be taken out of `LATER`."""
    told: dict[str, set[str]] = {key: set() for key in LATER}
    for found in (
        *(dict(span.attributes or {}) for span in world.telemetry.spans),
        *(point.attributes for point in world.points),
    ):
        for key in LATER.keys() & found.keys():
            told[key].add(text(found[key]))
    assert not {key: values & LATER[key] for key, values in told.items() if values & LATER[key]}
    assert not told["spanwire.endpoint"]
