"""A listener that fails never breaks a call, and what fails in it takes nothing else along."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from opentelemetry import propagate

from spanwire import Call, Client, Listener
from spanwire.testing import SpanwireTelemetry


def call_and_attempt(telemetry: SpanwireTelemetry) -> list[str]:
    return sorted(span.name for span in telemetry.spans)


def client(telemetry: SpanwireTelemetry, **more: Any) -> Client:
    return Client(transport=httpx.MockTransport(lambda request: httpx.Response(200)), **telemetry.providers, **more)


def test_a_propagator_that_raises_leaves_the_attempt_its_span(
    spanwire_telemetry: SpanwireTelemetry, request: pytest.FixtureRequest
) -> None:
    class Broken:
        fields: frozenset[str] = frozenset()

        def inject(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("no propagation today")

    before = propagate.get_global_textmap()
    request.addfinalizer(lambda: propagate.set_global_textmap(before))
    broken: Any = Broken()
    propagate.set_global_textmap(broken)
    with client(spanwire_telemetry) as calling:
        assert calling.get("http://origin.test/").status_code == 200
        assert calling._engine.account.value("spanwire.telemetry.dropped", kind="listener") == 1
    assert call_and_attempt(spanwire_telemetry) == ["GET", "call GET"]


def test_a_meter_that_raises_leaves_call_and_attempt_their_spans(spanwire_telemetry: SpanwireTelemetry) -> None:
    class Broken:
        def record(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("no measuring today")

    with client(spanwire_telemetry) as calling:
        telemetry: Any = calling._engine.telemetry
        telemetry._call_duration = telemetry._request_duration = Broken()
        assert calling.get("http://origin.test/").status_code == 200
    assert call_and_attempt(spanwire_telemetry) == ["GET", "call GET"]


def test_a_listener_that_ends_the_thread_leaves_no_call_under_way(spanwire_telemetry: SpanwireTelemetry) -> None:
    class Leaving(Listener):
        def opened(self, call: Call) -> None:
            raise SystemExit

    with client(spanwire_telemetry, listeners=[Leaving()]) as calling:
        with pytest.raises(SystemExit):
            calling.get("http://origin.test/")
        assert calling._engine.signals.active.value == 0
    assert call_and_attempt(spanwire_telemetry) == ["call GET"]
