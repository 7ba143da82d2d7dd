"""The SDK behind `setup()`: providers, exporters and a page for Prometheus, from arguments and `OTEL_*` variables.

What the service has set up stays as it is: nothing here replaces a provider. Whatever can fail comes first, so that a
set-up that fails has set nothing.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any, Literal

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from ..errors import ConfigurationError
from ..redact import redacted_text

Signal = Literal["traces", "metrics", "logs"]
Work = Callable[[], Any]

PATIENCE = 5.0
"""Seconds that the end waits for what is still to be exported."""
LOOPBACK = "127.0.0.1"
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_PLACEHOLDERS = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs")
_log = logging.getLogger("spanwire.telemetry")


def install(service_name: str | None, endpoint: str | None, prometheus_port: int | None) -> Callable[[], None]:
    """Set the global providers; what is returned flushes and ends them, and takes at most `PATIENCE` seconds.

    Providers that are set already are used, and only flushed at the end, if nothing is asked for that they would have
    to do. With `OTEL_SDK_DISABLED=true` nothing is set.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return _End(())
    if existing := _existing():
        return _reused(existing, endpoint, prometheus_port)
    spans, measures, logs = (list(_exporters(signal, endpoint)) for signal in ("traces", "metrics", "logs"))
    readers = [one if isinstance(one, MetricReader) else PeriodicExportingMetricReader(one) for one in measures]
    pages = [] if prometheus_port is None else [_page(prometheus_port, readers)]
    return _End([*_set(_resource(service_name), spans, readers, logs), *pages])


def _set(resource: Resource, spans: Iterable[Any], readers: list[Any], logs: Iterable[Any]) -> Iterator[Work]:
    """Set the providers; yields what ends each of them."""
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in spans:
        tracers.add_span_processor(BatchSpanProcessor(exporter))
    meters = MeterProvider(readers, resource, shutdown_on_exit=False)
    loggers = LoggerProvider(resource, shutdown_on_exit=False)
    for exporter in logs:
        loggers.add_log_record_processor(BatchLogRecordProcessor(exporter))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    _logs.set_logger_provider(loggers)
    yield from (tracers.shutdown, meters.shutdown, loggers.shutdown)


def _resource(service_name: str | None) -> Resource:
    """The resource that the environment describes, named by the argument, else by the environment, else `spanwire`."""
    found = Resource.create({})
    if service_name is None and not str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found
    return found.merge(Resource({SERVICE_NAME: service_name or "spanwire"}))


# -- providers that are there already --------------------------------------------------------------------------------


def _existing() -> list[Any]:
    """The global providers that someone has set."""
    found = (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider())
    return [provider for provider in found if not type(provider).__module__.startswith(_PLACEHOLDERS)]


def _reused(existing: list[Any], endpoint: str | None, prometheus_port: int | None) -> Callable[[], None]:
    asked = {"endpoint": endpoint, "prometheus_port": prometheus_port}
    for name, value in asked.items():
        if value is not None:
            kinds = ", ".join(type(provider).__name__ for provider in existing)
            raise ConfigurationError(
                f"telemetry.setup(): `{name}` cannot be had, since this process has OpenTelemetry providers already "
                f"({kinds}): call setup() once and before anything else sets them, or leave `{name}` out to use them"
            )
    return _End([provider.force_flush for provider in existing if hasattr(provider, "force_flush")])


# -- exporters -------------------------------------------------------------------------------------------------------


def _exporters(signal: Signal, endpoint: str | None) -> Iterator[Any]:
    """The exporters of a signal: those that `OTEL_<SIGNAL>_EXPORTER` names, else OTLP where there is an endpoint."""
    for name in _names(signal, endpoint):
        entry = _PROTOCOLS.get(_protocol(signal), "") if name == "otlp" else name
        found = list(entry_points(group=f"opentelemetry_{signal}_exporter", name=entry))
        if not found:
            raise ConfigurationError(_unknown(signal, name))
        given = {"endpoint": _url(signal, endpoint)} if name.startswith("otlp") and endpoint else {}
        try:
            yield found[0].load()(**given)
        except Exception as error:
            why = redacted_text(str(error))
            raise ConfigurationError(f"the exporter {name!r} for {signal} cannot be made: {why}") from error


def _names(signal: Signal, endpoint: str | None) -> list[str]:
    told = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    if told:
        return [name.strip() for name in told.split(",") if name.strip() not in ("", "none")]
    variables = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return ["otlp"] if endpoint or any(_checked(name) for name in variables) else []


def _checked(variable: str) -> str:
    """The endpoint that a variable names, if it can be one."""
    value = os.environ.get(variable, "").strip()
    return _endpoint(value, variable) if value else ""


def _endpoint(value: str, where: str) -> str:
    if value.startswith(("http://", "https://")):
        return value
    shown = value.rpartition("@")[2]  # what stands before it may be a password
    raise ConfigurationError(f"`{where}` = {shown!r} is impossible: write it with its scheme, such as http://host:4318")


def _protocol(signal: Signal) -> str:
    general = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip()
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "").strip() or general or "http/protobuf"


def _url(signal: Signal, endpoint: str) -> str:
    """OTLP over HTTP has a path for each signal, over gRPC it has none."""
    _endpoint(endpoint, "endpoint")
    return endpoint if _protocol(signal) == "grpc" else f"{endpoint.rstrip('/')}/v1/{signal}"


def _unknown(signal: Signal, name: str) -> str:
    if name == "otlp" and _protocol(signal) not in _PROTOCOLS:
        one_of = " or ".join(_PROTOCOLS)
        return f"`OTEL_EXPORTER_OTLP_PROTOCOL` = {_protocol(signal)!r} is impossible: it should be {one_of}"
    if name.startswith("otlp"):
        return f"exporting {signal} by OTLP needs an exporter that is not installed: install spanwire[otlp]"
    return f"`OTEL_{signal.upper()}_EXPORTER` = {name!r} is not installed: use otlp, console or none, or install it"


# -- the page for Prometheus -----------------------------------------------------------------------------------------


def _page(port: int, readers: list[Any]) -> Work:
    """Serve the metrics on a port of the loopback interface, from a registry of their own; what is returned ends it."""
    try:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise ConfigurationError(
            f"serving metrics for Prometheus needs `{error.name}`: install spanwire[prometheus]"
        ) from None
    registry = CollectorRegistry()
    try:
        server, _ = start_http_server(port, LOOPBACK, registry)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(_closed_port(port, error)) from None
    readers.append(PrometheusMetricReader(registry=registry))

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


def _closed_port(port: int, error: OSError | OverflowError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"the port {port} of {LOOPBACK} is taken: end the program that listens there, or choose another port"
    return f"the port {port} of {LOOPBACK} cannot be opened for Prometheus ({error}): choose another one"


# -- the end ---------------------------------------------------------------------------------------------------------


class _End:
    """Ends what was set up, once and all at the same time; if nobody calls it, the end of the process does."""

    def __init__(self, work: Iterable[Work]) -> None:
        self._work = list(work)
        self._lock = threading.Lock()
        atexit.register(self)

    def __call__(self) -> None:
        atexit.unregister(self)
        with self._lock:
            work, self._work = self._work, []
        until = time.monotonic() + PATIENCE
        threads = [thread for thread in map(_started, work) if thread is not None]
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            _log.warning("not all telemetry was delivered within %g s: is the endpoint there?", PATIENCE)


def _started(work: Work) -> threading.Thread | None:
    """Work in a thread that no process waits for; in place, where the process ends and no thread can start any more."""
    thread = threading.Thread(target=_quietly, args=(work,), name="spanwire-telemetry-end", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        _quietly(work)
        return None
    return thread


def _quietly(work: Work) -> None:
    try:
        work()
    except Exception as error:
        _log.warning("telemetry ended badly: %s", redacted_text(str(error)))
