"""The figures that the demo reads off the OpenTelemetry metric stream, as anything else that reads it would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.metrics import get_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

Values = dict[tuple[str, str], float]
"""Values by metric and client."""
CLIENT = "spanwire.client.name"
SHOWN = {
    "spanwire.retry.attempts": "retry_attempts_total",
    "spanwire.retry.denials": "retry_denials_total",
    "spanwire.circuit_breaker.transitions": "circuit_breaker_transitions_total",
    "spanwire.circuit_breaker.rejections": "circuit_breaker_rejections_total",
}
"""Metrics that the screen shows, by the names that Prometheus gives them, without their common beginning."""
AVAILABLE, CAPACITY = "spanwire.retry_budget.available", "spanwire.retry_budget.capacity"


class Gauges:
    """A reader of its own on the process's metrics; it reads nothing where no SDK is at work."""

    def __init__(self) -> None:
        self._reader: InMemoryMetricReader | None = None
        provider = get_meter_provider()
        if isinstance(provider, MeterProvider):
            self._reader = InMemoryMetricReader()
            provider.add_metric_reader(self._reader)

    def read(self) -> Values:
        """The values of now by metric and client, summed over every other attribute."""
        found: Values = {}
        for name, point in self._points():
            value = getattr(point, "value", None)
            if value is not None:
                key = (name, str((point.attributes or {}).get(CLIENT, "")))
                found[key] = found.get(key, 0.0) + value
        return found

    def _points(self) -> Iterator[tuple[str, Any]]:
        data = self._reader.get_metrics_data() if self._reader is not None else None
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    yield from ((metric.name, point) for point in metric.data.data_points)


def total(values: Values, name: str) -> int:
    """A metric's sum over all clients."""
    return int(sum(value for (found, _), value in values.items() if found == name))
