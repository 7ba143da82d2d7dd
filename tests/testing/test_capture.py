"""Captured telemetry: spans, events and metrics, from the real SDK."""

from __future__ import annotations

import sys

import pytest

import spanwire
from spanwire import ConfigurationError, Fixed, Policy, Retry, testing
from spanwire.testing import FakeClock, FaultyOrigin, SpanwireTelemetry
from tests.testing.colours import Colour

PATIENT = Policy(retry=Retry(max_attempts=2, backoff=Fixed(seconds=0.1)), circuit_breaker=None)


@pytest.fixture
def told(colour: Colour, origin: FaultyOrigin, clock: FakeClock, telemetry: SpanwireTelemetry) -> SpanwireTelemetry:
    """What a client has told that was answered 503, then 200."""
    origin.script(503, 200)
    client = colour.client(name="billing", policy=PATIENT, clock=clock, **telemetry.providers)
    colour.get(client, origin.url)
    return telemetry


def test_spans_are_there_by_kind_and_as_a_tree(told: SpanwireTelemetry) -> None:
    assert [span.name for span in told.call_spans] == ["call GET"]
    assert [span.attributes["http.response.status_code"] for span in told.attempt_spans] == [503, 200]
    assert [span.name for span in told.wait_spans] == ["wait backoff"]
    assert told.tree() == ["call GET success", "  GET 503", "  wait backoff", "  GET 200"]


def test_ids_count_from_one_and_no_call_is_of_the_baseline(told: SpanwireTelemetry) -> None:
    (call,) = told.call_spans
    assert (call.context.span_id, call.context.trace_id & 0xFFFF) == (1, 1)
    assert "spanwire.baseline" not in call.attributes


def test_events_are_found_on_spans_and_in_the_log(told: SpanwireTelemetry) -> None:
    (scheduled,) = told.events("retry.scheduled")
    assert scheduled["spanwire.reason"] == "status"
    assert told.events("spanwire.retry.scheduled") == [scheduled]
    client = spanwire.Client(**told.providers)
    client.reload(Policy())
    client.close()
    (loaded,) = told.events("config.loaded")
    assert loaded["spanwire.policy.hash"] == Policy().hash
    assert [record.event_name for record in told.log_records] == ["spanwire.config.loaded"]


def test_metrics_are_sums_over_labels(told: SpanwireTelemetry) -> None:
    assert told.metric("spanwire.retry.attempts", reason="status") == 1
    assert told.metric("retry.attempts", reason="pool") == 0
    assert told.metric("http.client.request.duration") == 2
    assert told.metric("http.client.request.duration", http_response_status_code=503, error_type="503") == 1
    assert told.metric("spanwire.retry.delay", name="billing") == 1
    assert told.points("spanwire.retry.delay")[0].sum == pytest.approx(0.1)


def test_a_metric_that_was_not_told_yet_is_zero(telemetry: SpanwireTelemetry) -> None:
    assert telemetry.metric("spanwire.retry.attempts") == 0


def test_a_metric_that_nobody_declares_is_an_error_that_names_the_nearest(telemetry: SpanwireTelemetry) -> None:
    with pytest.raises(LookupError, match=r"no metric is called 'spanwire.retry.atempts'; .* spanwire.retry.attempts"):
        telemetry.metric("spanwire.retry.atempts")
    with pytest.raises(LookupError, match="there is none like it"):
        telemetry.metric("zzz")


def test_everything_is_text_with_all_of_it(told: SpanwireTelemetry) -> None:
    text = told.everything()
    for word in ("call GET", "spanwire.retry.scheduled", "spanwire.retry.attempts"):
        assert word in text


def test_spans_and_records_can_be_forgotten(told: SpanwireTelemetry) -> None:
    told.clear()
    assert (told.spans, told.log_records, told.tree()) == ([], [], [])
    assert told.metric("spanwire.retry.attempts") == 1


def test_at_its_end_nothing_more_is_told(origin: FaultyOrigin) -> None:
    with SpanwireTelemetry() as telemetry:
        pass
    with spanwire.Client(**telemetry.providers) as client:
        client.get(origin.url)
    assert telemetry.spans == []


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "spanwire.testing.capture")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk._logs", None)
    with pytest.raises(ConfigurationError, match=r"install spanwire\[otlp\]"):
        testing.SpanwireTelemetry()
