"""The OpenTelemetry SDK as a service wires it, over exporters that only count.

Spans go through a BatchSpanProcessor and events through a BatchLogRecordProcessor; metrics are aggregated for one
reader. Nothing is ever made global: each contender is given providers of its own, and a contender without telemetry
none, so that "no SDK" means that in the same process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, ParentBasedTraceIdRatio


class Counting(SpanExporter):
    """An exporter that drops what it is given and knows how much that was."""

    def __init__(self) -> None:
        self.count = 0

    def export(self, batch: Sequence[Any]) -> Any:
        """Count and drop a batch of spans or of log records."""
        self.count += len(batch)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is held."""


class Sdk:
    """Providers for one contender: everything sampled, or nothing."""

    def __init__(self, sampled: bool = True) -> None:
        self._spans, self._logs, self._reader = Counting(), Counting(), InMemoryMetricReader()
        self.tracer_provider = TracerProvider(sampler=DEFAULT_ON if sampled else ParentBasedTraceIdRatio(0))
        self.tracer_provider.add_span_processor(BatchSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._reader])
        self.logger_provider = LoggerProvider()
        self.logger_provider.add_log_record_processor(BatchLogRecordProcessor(self._logs))  # type: ignore[arg-type]

    @property
    def providers(self) -> dict[str, Any]:
        """Keyword arguments of spanwire's clients."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    def flush(self) -> None:
        """Hand what is batched to the exporter, so that a slice pays for its own spans and no other one's."""
        self.tracer_provider.force_flush()
        self.logger_provider.force_flush()

    def spans(self) -> int:
        """How many spans were exported."""
        self.flush()
        return self._spans.count

    def durations(self) -> int:
        """How many times the standard client histogram was recorded."""
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in (data.resource_metrics if data else []) for scope in resource.scope_metrics]
        found = [
            metric for scope in scopes for metric in scope.metrics if metric.name == "http.client.request.duration"
        ]
        return sum(getattr(point, "count", 0) for metric in found for point in metric.data.data_points)

    def shutdown(self) -> None:
        """End the threads of the batch processors."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()
        self.logger_provider.shutdown()


def assert_nothing_global() -> None:
    """Raise RuntimeError where some contender made its provider everybody's: the row without an SDK would be false."""
    if isinstance(trace.get_tracer_provider(), TracerProvider) or isinstance(
        metrics.get_meter_provider(), MeterProvider
    ):
        raise RuntimeError("a contender has set a global provider")
