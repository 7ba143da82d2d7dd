"""Whichever provider, set whenever: a program of its own for each story, since the global provider is set once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import gc, httpx, spanwire
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

def provider():
    reader = InMemoryMetricReader()
    made = MeterProvider([reader], shutdown_on_exit=False)
    made.reader = reader
    return made

def client(**more):
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    return spanwire.Client(name="billing", transport=transport, **more)

def told(provider, name="spanwire.attempts"):
    data = provider.reader.get_metrics_data()
    scopes = [scope for resource in (data.resource_metrics if data else ()) for scope in resource.scope_metrics]
    found = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
    points = [point for metric in found for point in metric.data.data_points]
    return sum(getattr(point, "value", None) or getattr(point, "count", 0) for point in points)

def get(client, times=1):
    for _ in range(times):
        client.get("http://origin.test")
"""


def program(story: str, **environment: str) -> None:
    """Run a story in an interpreter of its own, with warnings as errors."""
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(story)],
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
        env=os.environ | environment,
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_a_provider_that_was_set_before_hears_everything() -> None:
    program("""
        metrics.set_meter_provider(everything := provider())
        with client() as one:
            get(one, 2)
        assert told(everything) == 2
    """)


def test_a_provider_that_is_set_later_hears_also_what_was_counted_before() -> None:
    program("""
        early, gone = client(), client()
        get(early, 2)
        get(gone, 3)
        gone.close()
        del gone
        gc.collect()
        metrics.set_meter_provider(everything := provider())
        assert told(everything) == 5
        get(early)
        assert told(everything) == 6
        late = client()
        get(late)
        assert told(everything) == 7
        assert told(everything, "spanwire.call.duration") == 2, "durations are heard from then on"
        early.close(), late.close()
        assert told(everything) == 7
    """)


def test_a_provider_that_is_given_and_later_becomes_the_global_one_hears_all_of_both() -> None:
    program("""
        theirs = provider()
        unset, given = client(), client(meter_provider=theirs)
        get(unset, 2)
        get(given)
        assert told(theirs) == 1
        metrics.set_meter_provider(theirs)
        assert told(theirs) == 3, "without a further client being made"
        late = client()
        get(late)
        get(unset)
        assert told(theirs) == 5
        for one in (unset, given, late):
            one.close()
        assert told(theirs) == 5
    """)


def test_a_provider_that_is_both_global_and_given_is_told_once() -> None:
    program("""
        metrics.set_meter_provider(everything := provider())
        with client() as one, client(meter_provider=everything) as other:
            get(one)
            get(other)
            assert told(everything) == 2
    """)


def test_a_provider_that_is_given_keeps_the_global_one_out() -> None:
    program("""
        metrics.set_meter_provider(everybodys := provider())
        ours = provider()
        with client(meter_provider=ours) as one:
            get(one)
        assert (told(ours), told(everybodys)) == (1, 0)
    """)


def test_without_a_provider_nothing_is_kept_of_the_clients_that_come_and_go() -> None:
    program("""
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(20):
            get(client())
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(200):
            get(client())
        gc.collect()
        assert len(gc.get_objects()) - before < 200, len(gc.get_objects()) - before
    """)


def test_an_sdk_that_is_disabled_is_no_provider() -> None:
    program(
        """
        metrics.set_meter_provider(everything := provider())
        with client() as one:
            get(one)
            assert one.metrics()["requests"]["total"] == 1
        assert told(everything) == 0
        """,
        OTEL_SDK_DISABLED="true",
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_spans_go_to_the_global_tracer_provider_set_before_or_after(when: str) -> None:
    program(f"""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        spans = InMemorySpanExporter()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(spans))
        early = client()
        if {when == "before"}:
            trace.set_tracer_provider(tracers)
        get(early)
        if {when == "after"}:
            assert not spans.get_finished_spans()
            trace.set_tracer_provider(tracers)
            get(early)
        assert [span.name for span in spans.get_finished_spans()] == ["GET", "call GET"]
        early.close()
    """)


def test_eight_threads_that_make_clients_while_the_provider_is_set_lose_nothing() -> None:
    program("""
        import threading

        start, got = threading.Barrier(9), []
        def work():
            start.wait()
            for _ in range(20):
                with client() as one:
                    get(one)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        start.wait()
        metrics.set_meter_provider(everything := provider())
        told(everything)
        for thread in threads:
            thread.join()
        assert told(everything) == 160, told(everything)
    """)
