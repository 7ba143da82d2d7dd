"""Beside opentelemetry-instrumentation-httpx: one CLIENT span per attempt, by us or by it, as the service chooses."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import baggage
from opentelemetry import context as otel
from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability as Stability
from opentelemetry.instrumentation.httpx import (
    AsyncOpenTelemetryTransport,
    HTTPXClientInstrumentor,
    SyncOpenTelemetryTransport,
)
from opentelemetry.sdk.trace import ReadableSpan

import spanwire
from spanwire import CircuitBreaker, Connection, Fixed, Policy, Retry
from spanwire.testing import SpanwireTelemetry
from tests.integration.support import Answer, Driven, Driver, Site

THEIRS = "opentelemetry.instrumentation.httpx"
ONCE = Policy(retry=None, circuit_breaker=None)


def quick(wire: str = "httpcore2") -> Policy:
    return Policy(retry=Retry(backoff=Fixed(seconds=0.001)), connection=Connection(wire=wire))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def stable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The instrumentation speaks the stable conventions, as it does where a service has chosen them."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    monkeypatch.setattr(Stability, "_initialized", False)
    yield
    Stability._initialized = False


@pytest.fixture
def instrument(telemetry: SpanwireTelemetry) -> Iterator[Callable[..., None]]:
    """Switches the instrumentation on, until the end of the test."""

    def on(**hooks: Any) -> None:
        HTTPXClientInstrumentor().instrument(
            tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider, **hooks
        )

    yield on
    with warnings.catch_warnings():
        HTTPXClientInstrumentor().uninstrument()


WIRES = ("httpcore2", "httpx", "a given transport", "a mock", "aiohttp")


def made(driver: Driver, wire: str, site: Site, **arguments: Any) -> Driven:
    """A client over one of the wires; the mock answers as the site's script would."""
    if wire == "a given transport":
        transport = httpx.HTTPTransport() if driver.is_sync else httpx.AsyncHTTPTransport()
        return driver.ours(policy=quick(), transport=transport, **arguments)
    if wire == "a mock":
        statuses = iter([503, 200, 200])

        def handler(request: httpx.Request) -> httpx.Response:
            site.answer_of_the_mock = dict(request.headers)  # type: ignore[attr-defined]
            return httpx.Response(next(statuses))

        return driver.ours(policy=quick(), transport=driver.transport(handler), **arguments)
    if wire == "aiohttp" and driver.colour.name != "asyncio":
        pytest.skip("aiohttp serves asyncio only")
    return driver.ours(policy=quick(wire), **arguments)


def scopes(spans: list[ReadableSpan]) -> list[str]:
    return [span.instrumentation_scope.name for span in spans if span.instrumentation_scope]


def sent(site: Site) -> list[str]:
    """The span ids that the origin was told."""
    assert not any("," in seen.headers["traceparent"] for seen in site.seen)
    return [seen.headers["traceparent"].split("-")[2] for seen in site.seen]


def ids(spans: list[ReadableSpan]) -> list[str]:
    return [f"{span.context.span_id:016x}" for span in spans]


# -- our spans, beside theirs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("order", ["before the client", "after the client"])
def test_with_the_instrumentation_on_each_attempt_has_our_span_alone(
    *, driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None], wire: str, order: str
) -> None:
    site.script(503, 200)
    if order == "before the client":
        instrument()
    client = made(driver, wire, site, **telemetry.providers)
    if order == "after the client":
        instrument()
    assert client.get(site.url).status_code == 200
    assert telemetry.tree() == ["call GET success", "  GET 503", "  wait backoff", "  GET 200"]
    assert scopes(telemetry.attempt_spans) == ["spanwire"] * 2
    assert telemetry.metric("http.client.request.duration") == 2, "measured once"
    if wire != "a mock":
        assert sent(site) == ids(telemetry.attempt_spans)


def test_the_services_other_clients_keep_their_spans(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None]
) -> None:
    instrument()
    driver.ours(**telemetry.providers).get(site.url)
    driver.theirs().get(site.url)
    assert scopes(telemetry.attempt_spans) == ["spanwire", THEIRS]


def test_a_given_transport_that_is_instrumented_by_itself_keeps_still(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    transport: Any = (
        SyncOpenTelemetryTransport(httpx.HTTPTransport(), tracer_provider=telemetry.tracer_provider)
        if driver.is_sync
        else AsyncOpenTelemetryTransport(httpx.AsyncHTTPTransport(), tracer_provider=telemetry.tracer_provider)
    )
    driver.ours(transport=transport, **telemetry.providers).get(site.url)
    assert scopes(telemetry.attempt_spans) == ["spanwire"]


# -- their spans in our calls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("order", ["before the client", "after the client"])
def test_attempts_can_be_left_to_the_instrumentation(
    *, driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None], wire: str, order: str
) -> None:
    site.script(503, 200)
    if order == "before the client":
        instrument()
    client = made(driver, wire, site, attempt_spans="instrumentation", **telemetry.providers)
    if order == "after the client":
        instrument()
    response = client.get(site.url)
    assert response.status_code == 200
    assert telemetry.tree() == ["call GET success", "  GET 503", "  wait backoff", "  GET 200"]
    assert scopes(telemetry.attempt_spans) == [THEIRS] * 2
    assert telemetry.metric("http.client.request.duration") == 2, "theirs"
    if wire != "a mock":
        assert sent(site) == ids(telemetry.attempt_spans)
    assert [attempt.status for attempt in spanwire.report(response).attempts] == [503, 200]
    assert telemetry.metric("spanwire.retry.attempts") == 1
    connects = wire in ("httpcore2", "aiohttp")
    assert telemetry.metric("spanwire.connect.duration") == (1 if connects else 0), "ours, where the wire tells it"


@pytest.mark.parametrize("wire", ["httpcore2", "httpx"])
def test_their_hooks_are_called_for_each_attempt(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None], wire: str
) -> None:
    heard: list[object] = []

    def request_hook(span: Any, request: Any) -> None:
        span.set_attribute("tenant", "a")
        heard.append(request.method)

    def response_hook(span: Any, request: Any, response: Any) -> None:
        heard.append(response.status_code)

    async def async_request_hook(span: Any, request: Any) -> None:
        request_hook(span, request)

    async def async_response_hook(span: Any, request: Any, response: Any) -> None:
        response_hook(span, request, response)

    site.script(503, 200)
    instrument(
        request_hook=request_hook,
        response_hook=response_hook,
        async_request_hook=async_request_hook,
        async_response_hook=async_response_hook,
    )
    client = driver.ours(policy=quick(wire), attempt_spans="instrumentation", **telemetry.providers)
    client.get(site.url)
    assert heard == [b"GET", 503, b"GET", 200]
    assert [(span.attributes or {})["tenant"] for span in telemetry.attempt_spans] == ["a", "a"]


@pytest.mark.parametrize("wire", ["httpcore2", "httpx"])
def test_their_spans_tell_errors_and_ours_the_call(
    driver: Driver, nobody: str, telemetry: SpanwireTelemetry, instrument: Callable[..., None], wire: str
) -> None:
    instrument()
    policy = Policy(retry=None, connection=Connection(wire=wire))  # type: ignore[arg-type]
    client = driver.ours(policy=policy, attempt_spans="instrumentation", **telemetry.providers)
    with pytest.raises(httpx.ConnectError) as caught:
        client.get(nobody)
    assert [(span.attributes or {})["error.type"] for span in telemetry.attempt_spans] == ["ConnectError"]
    assert (telemetry.call_spans[0].attributes or {})["error.type"] == f"{httpx.__name__}.ConnectError"
    assert caught.value.request is not None


def test_streams_and_uploads_pass_through_their_spans(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None]
) -> None:
    instrument()
    site.answer = lambda seen: Answer(200, iter([seen.body, b"end"]))
    client = driver.ours(attempt_spans="instrumentation", **telemetry.providers)
    with client.stream("POST", site.url, content=b"body") as response:
        assert b"".join(response.iter_raw()) == b"bodyend"
    with client.stream("POST", site.url, content=b"body") as response:
        assert response.http_version == "HTTP/1.1"
    assert scopes(telemetry.attempt_spans) == [THEIRS] * 2
    assert len(telemetry.call_spans) == 2


def test_redirects_are_their_spans_in_one_call(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None]
) -> None:
    instrument()
    site.answer = lambda seen: Answer(302, b"", {"location": "/b"}) if seen.path == "/a" else Answer()
    client = driver.ours(follow_redirects=True, attempt_spans="instrumentation", **telemetry.providers)
    client.get(f"{site.url}/a")
    assert telemetry.tree() == ["call GET success", "  GET 302", "  GET 200"]


def test_a_bare_transport_is_the_parent_of_their_spans(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None]
) -> None:
    instrument()
    site.script(503, 200)
    transport: Any = spanwire.Transport if driver.is_sync else spanwire.AsyncTransport
    driver.theirs(transport=transport(quick(), attempt_spans="instrumentation", **telemetry.providers)).get(site.url)
    assert telemetry.tree() == ["call GET success", "  GET 503", "  wait backoff", "  GET 200"]


@pytest.mark.parametrize("wire", ["httpcore2", "httpx"])
def test_a_client_can_be_entered_and_left_below_their_spans(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None], wire: str
) -> None:
    instrument()
    client = driver.ours(policy=quick(wire), attempt_spans="instrumentation", **telemetry.providers)
    client.enter()
    client.get(site.url)
    if wire == "httpcore2":
        assert telemetry.metric("spanwire.pool.connections", state="idle") == 1
    driver.run(
        client.client.__exit__(None, None, None) if driver.is_sync else client.client.__aexit__(None, None, None)
    )
    assert scopes(telemetry.attempt_spans) == [THEIRS]
    with pytest.raises(RuntimeError, match="closed"):
        client.get(site.url)


def test_a_failed_attempt_of_theirs_makes_the_call_notable(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None]
) -> None:
    instrument()
    site.script(500, 200)
    client = driver.ours(policy=ONCE, attempt_spans="instrumentation", **telemetry.providers)
    client.get(site.url)
    client.get(site.url)
    assert ["spanwire.notable" in (span.attributes or {}) for span in telemetry.call_spans] == [True, False]


def test_where_nobody_traces_baggage_goes_out_all_the_same(driver: Driver, site: Site) -> None:
    client = driver.ours(attempt_spans="instrumentation")
    token = otel.attach(baggage.set_baggage("tenant", "a"))
    try:
        client.get(site.url)
    finally:
        otel.detach(token)
    client.get(site.url)
    assert [seen.headers.get("baggage") for seen in site.seen] == ["tenant=a", None]


def test_mounts_are_seen_by_it_as_well(
    driver: Driver, telemetry: SpanwireTelemetry, instrument: Callable[..., None]
) -> None:
    instrument()
    mount = driver.transport(lambda request: httpx.Response(200))
    client = driver.ours(mounts={"http://a.test": mount}, attempt_spans="instrumentation", **telemetry.providers)
    client.get("http://a.test/")
    assert scopes(telemetry.attempt_spans) == [THEIRS]


def test_a_refusal_is_linked_to_the_call_that_opened_the_breaker(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None]
) -> None:
    instrument()
    site.script(500)
    policy = Policy(retry=None, circuit_breaker=CircuitBreaker(consecutive_failures=1))
    client = driver.ours(policy=policy, attempt_spans="instrumentation", **telemetry.providers)
    client.get(site.url)
    with pytest.raises(spanwire.CircuitOpen):
        client.get(site.url)
    tripping, refused = telemetry.call_spans
    assert [link.context.span_id for link in refused.links] == [tripping.context.span_id], "theirs are not ours to know"


def test_without_the_instrumentation_the_origin_is_told_the_call(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    driver.ours(attempt_spans="instrumentation", **telemetry.providers).get(site.url)
    assert telemetry.tree() == ["call GET success"]
    assert sent(site) == ids(telemetry.call_spans)


def test_switching_it_off_leaves_our_clients_as_they_were(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry, instrument: Callable[..., None]
) -> None:
    instrument()
    own = driver.ours(**telemetry.providers)
    left = driver.ours(attempt_spans="instrumentation", **telemetry.providers)
    own.get(site.url)
    left.get(site.url)
    HTTPXClientInstrumentor().uninstrument()
    own.get(site.url)
    left.get(site.url)
    assert scopes(telemetry.attempt_spans) == ["spanwire", THEIRS, "spanwire"]
    assert [seen.headers["traceparent"][:2] for seen in site.seen] == ["00"] * 4


# -- their spans around our clients -----------------------------------------------------------------------------------


def test_an_instrumented_client_of_ours_says_once_that_this_makes_a_second_span(
    driver: Driver, site: Site, telemetry: SpanwireTelemetry
) -> None:
    client = driver.ours(mounts={"http://a.test": None}, **telemetry.providers)
    HTTPXClientInstrumentor.instrument_client(client.client, tracer_provider=telemetry.tracer_provider)
    with pytest.warns(spanwire.InstrumentationWarning, match="instrument_client") as caught:
        assert client.get(site.url).status_code == 200
    assert len(caught) == 1
    assert not driver.is_sync or caught[0].filename == __file__
    assert client.get(site.url).status_code == 200, "and no more"
    assert scopes(telemetry.attempt_spans).count(THEIRS) == 2
    assert scopes(telemetry.attempt_spans).count("spanwire") == 2
    ours = [span for span in telemetry.attempt_spans if scopes([span]) == ["spanwire"]]
    assert sent(site) == ids(ours)
    HTTPXClientInstrumentor.uninstrument_client(client.client)
    assert client.get(site.url).status_code == 200
    assert scopes(telemetry.attempt_spans).count(THEIRS) == 2


def test_a_client_that_is_not_instrumented_says_nothing(driver: Driver, site: Site) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        driver.ours().get(site.url)
        gc.collect()
    assert not [warning for warning in caught if issubclass(warning.category, spanwire.InstrumentationWarning)]
