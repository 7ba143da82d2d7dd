"""spanwire: an httpx client that signals everything it decides."""

from __future__ import annotations

from ._version import __version__
from .call import Attempt, Call
from .client import AsyncClient, Client
from .decisions import Attribute, Decision, Severity
from .errors import (
    AttemptTimeout,
    AuthenticationFailed,
    CircuitOpen,
    ClientClosed,
    ConcurrencyLimited,
    ConfigurationError,
    DeadlineExceeded,
    NoEndpointAvailable,
    RateLimited,
    Rejected,
    RetryExhausted,
    SpanwireError,
    StoreError,
)
from .interceptors import Context, LoggingInterceptor
from .kit import Kit, Layer
from .override import override
from .policies import (
    CircuitBreaker,
    Connection,
    Custom,
    DecorrelatedJitter,
    Exponential,
    Fallback,
    FallbackResponse,
    Fibonacci,
    Fixed,
    Linear,
    Outcome,
    Policy,
    PolicyWarning,
    Retry,
    RetryBudget,
    Timeout,
)
from .report import Report, report
from .runtime.protocol import Next, Runtime
from .signals import Listener
from .telemetry import InstrumentationWarning
from .transport import AsyncTransport, Transport

__all__ = [
    "AsyncClient",
    "AsyncTransport",
    "Attempt",
    "AttemptTimeout",
    "Attribute",
    "AuthenticationFailed",
    "Call",
    "CircuitBreaker",
    "CircuitOpen",
    "Client",
    "ClientClosed",
    "ConcurrencyLimited",
    "ConfigurationError",
    "Connection",
    "Context",
    "Custom",
    "DeadlineExceeded",
    "Decision",
    "DecorrelatedJitter",
    "Exponential",
    "Fallback",
    "FallbackResponse",
    "Fibonacci",
    "Fixed",
    "InstrumentationWarning",
    "Kit",
    "Layer",
    "Linear",
    "Listener",
    "LoggingInterceptor",
    "Next",
    "NoEndpointAvailable",
    "Outcome",
    "Policy",
    "PolicyWarning",
    "RateLimited",
    "Rejected",
    "Report",
    "Retry",
    "RetryBudget",
    "RetryExhausted",
    "Runtime",
    "Severity",
    "SpanwireError",
    "StoreError",
    "Timeout",
    "Transport",
    "__version__",
    "override",
    "report",
]
