"""OpenTelemetry for a script: spans, metrics and events of one call, wherever `OTEL_*` variables say.

    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 python examples/tracing.py http://127.0.0.1:8000/invoices/42

`spanwire.telemetry.setup()` is enough for scripts. A service sets up its own SDK, as below in `own_sdk`, or starts by
`opentelemetry-instrument`; spanwire finds whatever is set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import spanwire
from spanwire.telemetry import setup


def own_sdk(service_name: str) -> Callable[[], None]:
    """What `setup` does, written out: a provider for each signal, with an exporter that reads `OTEL_*` variables."""
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": service_name})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource)
    loggers = LoggerProvider(resource)  # state changes, such as a breaker that opens, are log events
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    _logs.set_logger_provider(loggers)

    def finish() -> None:
        for provider in (tracers, meters, loggers):
            provider.shutdown()

    return finish


def main(url: str, written_out: bool) -> None:
    finish = own_sdk("tracing-example") if written_out else setup("tracing-example")
    try:
        with spanwire.Client(name="example") as client:
            print(spanwire.report(client.get(url)))
    finally:
        finish()  # sends off what is still waiting


if __name__ == "__main__":
    main(sys.argv[1], "--own-sdk" in sys.argv)
