"""Decisions as OpenTelemetry signals.

Only this package imports OpenTelemetry, and only its API: the service brings the SDK. `setup()` is the convenience for
scripts (extra `spanwire[otlp]`); `log_decisions()` writes every decision to std logging.
"""

from .instrumented import InstrumentationWarning, is_instrumented
from .listener import Telemetry
from .log import log_decisions
from .providers import Providers
from .setup import setup

__all__ = ["InstrumentationWarning", "Providers", "Telemetry", "is_instrumented", "log_decisions", "setup"]
