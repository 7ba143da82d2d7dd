"""A ready OpenTelemetry SDK for scripts, the command line and the demo; a service sets up its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError


def setup(
    service_name: str | None = None, *, endpoint: str | None = None, prometheus_port: int | None = None
) -> Callable[[], None]:
    """Set the global OpenTelemetry providers; call what is returned before the process ends, so that nothing is lost.

    Args:
        service_name: the resource's `service.name`; default `OTEL_SERVICE_NAME`, else `spanwire`.
        endpoint: an OTLP/HTTP endpoint such as `http://localhost:4318`; default `OTEL_EXPORTER_OTLP_ENDPOINT`. Without
            either nothing is exported by OTLP. `OTEL_EXPORTER_OTLP_PROTOCOL=grpc` chooses gRPC.
        prometheus_port: serve the metrics for Prometheus on this port of the loopback interface.

    Raises:
        ConfigurationError: if a needed extra is not installed, or the port is taken.
    """
    try:
        from ._sdk import install
    except ImportError as error:
        raise ConfigurationError(f"telemetry.setup() needs `{error.name}`: install spanwire[otlp]") from None
    finish: Any = install(service_name, endpoint, prometheus_port)
    stop: Callable[[], None] = finish
    return stop
