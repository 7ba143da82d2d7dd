"""The OpenTelemetry providers of one client: those it was given, else the global ones, also if they are set later."""

from __future__ import annotations

from typing import Any, NamedTuple

from opentelemetry import metrics, trace

from .._version import __version__

SCOPE = "spanwire"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"


class Providers(NamedTuple):
    """Explicit providers; None means the global one."""

    tracer: Any = None
    meter: Any = None
    logger: Any = None


def tracer_of(providers: Providers) -> trace.Tracer:
    """spanwire's tracer."""
    return trace.get_tracer(SCOPE, __version__, providers.tracer, SCHEMA_URL)


def meter_of(provider: Any) -> metrics.Meter:
    """spanwire's meter."""
    return metrics.get_meter(SCOPE, __version__, provider, SCHEMA_URL)
