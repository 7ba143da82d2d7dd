"""Stops sending to an origin that fails, and tries it again with a few probes."""

from .config import CircuitBreaker, Scope
from .decisions import BreakerProbe, BreakerRejected, BreakerTransition
from .handle import BreakerView, CircuitBreakers
from .policy import CircuitBreaking
from .states import Reason, State

__all__ = [
    "BreakerProbe",
    "BreakerRejected",
    "BreakerTransition",
    "BreakerView",
    "CircuitBreaker",
    "CircuitBreakers",
    "CircuitBreaking",
    "Reason",
    "Scope",
    "State",
]
