"""OpenTelemetry's real SDK in memory: what a client tells, for a test to look at."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from ..decisions import METRICS
from ..errors import ConfigurationError

try:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import SpanKind
except ImportError as error:
    raise ConfigurationError(f"captured telemetry needs `{error.name}`: install spanwire[otlp]") from None


class SpanwireTelemetry:
    """Providers for clients, and everything that was told to them: `Client(**telemetry.providers)`.

    Ids count from 1, and no call belongs to the baseline share (`spanwire.baseline`), so that equal runs tell equal
    things. A context manager: at its end the providers are shut down.
    """

    def __init__(self) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.tracer_provider = TracerProvider(shutdown_on_exit=False, id_generator=_CountedIds())
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))

    @property
    def providers(self) -> dict[str, Any]:
        """The arguments `tracer_provider`, `meter_provider` and `logger_provider` of a client or transport."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    # -- spans -------------------------------------------------------------------------------------------------------

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order in which they started."""
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)

    @property
    def call_spans(self) -> list[ReadableSpan]:
        """The spans of logical calls."""
        return [span for span in self.spans if "spanwire.outcome" in (span.attributes or {})]

    @property
    def attempt_spans(self) -> list[ReadableSpan]:
        """The spans of requests on the wire, by whatever instrumentation."""
        return [span for span in self.spans if span.kind is SpanKind.CLIENT]

    @property
    def wait_spans(self) -> list[ReadableSpan]:
        """The spans of waits."""
        return [span for span in self.spans if span.name.startswith("wait ")]

    def tree(self) -> list[str]:
        """The spans as lines, each indented below its parent: `["call GET success", "  GET 503", "  GET 200"]`."""
        spans = self.spans
        known = {span.context.span_id for span in spans}
        roots = [span for span in spans if span.parent is None or span.parent.span_id not in known]
        return [line for root in roots for line in _branch(root, spans, "")]

    # -- events ------------------------------------------------------------------------------------------------------

    def events(self, name: str) -> list[dict[str, Any]]:
        """The attributes of the events of a name, such as "retry.scheduled", on spans and in the log, oldest first."""
        wanted = f"spanwire.{name.removeprefix('spanwire.')}"
        found = [
            (event.timestamp, event.attributes) for span in self.spans for event in span.events if event.name == wanted
        ]
        found += [(log.timestamp or 0, log.attributes) for log in self.log_records if log.event_name == wanted]
        return [dict(attributes or {}) for _, attributes in sorted(found, key=lambda item: item[0])]

    @property
    def log_records(self) -> list[Any]:
        """The log records, with `event_name`, `severity_number`, `attributes` and `trace_id`."""
        return [item.log_record for item in self._logs.get_finished_logs()]

    # -- metrics -----------------------------------------------------------------------------------------------------

    def metric(self, name: str, /, **labels: object) -> float:
        """The sum of a metric's points that have these labels; of a histogram, how many values it has.

        A label is the last part of its attribute's key, or the whole key with underscores:
        `telemetry.metric("spanwire.cache.lookups", result="hit")`, `telemetry.metric("...", error_type="503")`.

        Raises:
            LookupError: if there is no metric of that name.
        """
        points = self.points(name)
        return sum(_value(point) for point in points if all(_has(point, *label) for label in labels.items()))

    def points(self, name: str) -> list[Any]:
        """The data points of a metric, each with `attributes`, and `value` or `count`, `sum` and `exemplars`."""
        metrics = {metric.name: metric for metric in self._metrics()}
        for known in (name, f"spanwire.{name}"):
            if known in metrics or known in METRICS:
                return list(metrics[known].data.data_points) if known in metrics else []
        near = ", ".join(difflib.get_close_matches(name, {*metrics, *METRICS})) or "none like it"
        raise LookupError(f"no metric is called {name!r}; there is {near}")

    def _metrics(self) -> Iterator[Metric]:
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                yield from scope.metrics

    # -- all of it ---------------------------------------------------------------------------------------------------

    def everything(self) -> str:
        """All that was told, as text: what is secret must not stand in it."""
        data = self._reader.get_metrics_data()
        told = [span.to_json() for span in self.spans] + [log.to_json() for log in self._logs.get_finished_logs()]
        return "\n".join([*told, data.to_json() if data else ""])

    def clear(self) -> None:
        """Forget spans and log records; metrics go on counting."""
        self._spans.clear()
        self._logs.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for provider in self.providers.values():
            provider.shutdown()


class _CountedIds(IdGenerator):
    """Ids in order; the randomness in a trace id is above every baseline share."""

    def __init__(self) -> None:
        self._traces, self._spans = itertools.count(0xFF << 48 | 1), itertools.count(1)

    def generate_span_id(self) -> int:
        return next(self._spans)

    def generate_trace_id(self) -> int:
        return next(self._traces)


def _branch(span: ReadableSpan, spans: list[ReadableSpan], indent: str) -> Iterator[str]:
    yield f"{indent}{span.name}{_outcome(span)}"
    for child in spans:
        if child.parent is not None and child.parent.span_id == span.context.span_id:
            yield from _branch(child, spans, indent + "  ")


def _outcome(span: ReadableSpan) -> str:
    attributes = span.attributes or {}
    for key in ("spanwire.outcome", "http.response.status_code", "error.type"):
        if key in attributes:
            return f" {attributes[key]!s}"
    return ""


def _value(point: Any) -> float:
    return float(point.value if hasattr(point, "value") else point.count)


def _has(point: Any, label: str, value: object) -> bool:
    wanted = str(value).lower() if isinstance(value, bool) else str(value)
    return any(
        str(found) == wanted and (key.replace(".", "_") == label or key.rsplit(".", 1)[-1] == label)
        for key, found in (point.attributes or {}).items()
    )
