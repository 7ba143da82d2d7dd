"""What `spanwire get` exports, and what it says when that cannot be delivered."""

from __future__ import annotations

import json
import time

import pytest

from spanwire.testing import FaultyOrigin
from tests.cli.conftest import Command
from tests.cli.servers import Receiver, free_port


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_call_is_exported_before_the_command_ends(
    origin: FaultyOrigin, receiver: Receiver, spanwire: Command, compression: str
) -> None:
    origin.script(503, 200)
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_COMPRESSION": compression}
    variables["SPANWIRE_RETRY__BACKOFF"] = '{"kind": "fixed", "seconds": 0.01}'
    told = spanwire("get", origin.url, "--json", **variables)
    assert told.code == 0
    assert not told.err
    names = sorted(span.name for span in receiver.spans)
    assert names == ["GET", "GET", "call GET", "wait backoff"]
    assert {span.trace_id.hex() for span in receiver.spans} == {json.loads(told.out)["trace_id"]}
    assert {"spanwire.call.duration", "http.client.request.duration", "spanwire.retry.attempts"} <= receiver.metrics
    assert receiver.services == {"spanwire"}


def test_changes_of_state_are_exported_as_log_events(
    origin: FaultyOrigin, receiver: Receiver, spanwire: Command
) -> None:
    origin.script(500)
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_SERVICE_NAME": "mine"}
    spanwire("get", origin.url, SPANWIRE_CIRCUIT_BREAKER__CONSECUTIVE_FAILURES="1", **variables)
    assert "spanwire.circuit_breaker.transition" in receiver.events
    assert receiver.services == {"mine"}


def test_a_variable_for_one_signal_exports_that_one(
    origin: FaultyOrigin, receiver: Receiver, spanwire: Command
) -> None:
    spanwire("get", origin.url, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{receiver.url}/v1/traces")
    assert len(receiver.spans) == 2
    assert not receiver.metrics


def test_a_signal_may_be_switched_off(origin: FaultyOrigin, receiver: Receiver, spanwire: Command) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_METRICS_EXPORTER": "none"}
    assert spanwire("get", origin.url, **variables).code == 0
    assert receiver.spans
    assert not receiver.metrics


def test_without_an_endpoint_there_is_a_trace_id_all_the_same(origin: FaultyOrigin, spanwire: Command) -> None:
    told = spanwire("get", origin.url, "--json")
    assert len(json.loads(told.out)["trace_id"]) == 32
    assert not told.err


def test_a_disabled_sdk_traces_nothing(origin: FaultyOrigin, receiver: Receiver, spanwire: Command) -> None:
    told = spanwire("get", origin.url, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_SDK_DISABLED="true")
    assert told.code == 0
    assert "no OpenTelemetry SDK is at work" in told.out
    assert not receiver.spans


@pytest.mark.parametrize(("protocol", "cause"), [("http/protobuf", "connection refused"), ("grpc", "unavailable")])
def test_an_endpoint_that_is_not_there_costs_a_line_and_some_seconds(
    origin: FaultyOrigin, spanwire: Command, protocol: str, cause: str
) -> None:
    endpoint, begun = f"http://127.0.0.1:{free_port()}", time.monotonic()
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    told = spanwire("get", origin.url, **variables)
    assert told.code == 0
    assert told.err == f"spanwire: telemetry was not delivered to {endpoint}: {cause}\n"
    assert time.monotonic() - begun < 15
